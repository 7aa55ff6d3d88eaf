"""Journals that were recorded once, and what follows from them."""
