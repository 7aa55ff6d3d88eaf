"""What is measured of a loaded artifact. Nothing here optimizes anything."""
