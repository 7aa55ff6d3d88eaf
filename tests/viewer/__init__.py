"""Tests of the profile viewer."""
