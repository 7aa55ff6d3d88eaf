"""Tests of `densebench.processes`."""
