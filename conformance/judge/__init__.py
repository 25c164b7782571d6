"""The judge: the reference run beside an outcome, and what it says of the requirements."""
