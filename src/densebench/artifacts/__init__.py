"""A deployable model on disk."""
