"""Tests of `densebench.planners`."""
