"""Tests of `densebench.cli`."""
