"""Tests of `densebench.recipes`."""
