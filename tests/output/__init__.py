"""Tests of `densebench.output`."""
