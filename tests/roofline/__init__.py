"""Tests of `densebench.roofline`."""
