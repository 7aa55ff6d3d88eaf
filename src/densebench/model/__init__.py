"""A PyTorch model as the measurement sees it: adapter, pruned shapes, state dict, inspection."""
