"""Tests of `densebench.model`."""
