"""What the suite knows of each loss beside its formula."""
