"""Who carries out a plan, and where."""
