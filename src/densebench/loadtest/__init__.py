"""A saved model under a stream of queries, by MLCommons LoadGen: what `densebench load` does."""
