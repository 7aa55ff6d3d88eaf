"""Tests of `densebench.machine`."""
