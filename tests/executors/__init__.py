"""Tests of `densebench.executors`."""
