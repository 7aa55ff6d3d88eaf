"""What was measured: records, the journal that keeps them, and the rows that follow."""
