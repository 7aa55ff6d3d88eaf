"""A recipe: techniques and an engine, stacked."""
