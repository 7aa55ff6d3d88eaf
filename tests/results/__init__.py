"""Tests of `densebench.results`."""
