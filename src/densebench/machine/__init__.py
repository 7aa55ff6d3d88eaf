"""Facts about this machine: its processor, its counters, and what else uses it."""
