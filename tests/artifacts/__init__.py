"""Tests of `densebench.artifacts`."""
