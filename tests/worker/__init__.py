"""Tests of `densebench.worker`."""
