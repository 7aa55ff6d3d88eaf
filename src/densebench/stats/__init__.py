"""Pure: numbers in, estimates, intervals and verdicts out."""
