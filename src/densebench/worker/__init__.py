"""The child's story: take one job, do it, and answer."""
