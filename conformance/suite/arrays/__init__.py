"""Arrays: the rows of each loss's space that are cases, a file for each loss; rows are appended and never changed."""
