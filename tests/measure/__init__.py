"""Tests of `densebench.measure`."""
