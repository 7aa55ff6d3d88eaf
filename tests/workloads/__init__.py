"""Tests of the weights and data that a run starts from."""
