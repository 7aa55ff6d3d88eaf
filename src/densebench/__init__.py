"""Measure every optimization of an image classifier on this hardware, and say which one to deploy.

rows = densebench.run(recipes=["channels_last"], batch_sizes=[1, 8], image_size=64)
logits = densebench.load("results/models/channels_last")(images)
rows = densebench.read_records("results")
"""

from densebench.api import load, read_records, run

__all__ = ["__version__", "load", "read_records", "run"]
__version__ = "0.1.0"
