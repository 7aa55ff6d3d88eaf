"""Tests of `densebench.techniques`."""
