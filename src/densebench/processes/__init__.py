"""Child processes: messages, fork servers, environments."""
