"""Where rows go: one destination per file. The journal is the source of truth, the rest follows from it."""
