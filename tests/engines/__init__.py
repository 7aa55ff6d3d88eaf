"""Tests of `densebench.engines`."""
