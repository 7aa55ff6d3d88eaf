"""The folders that a run writes to: whose they are, what an earlier run left there, and what is written."""
