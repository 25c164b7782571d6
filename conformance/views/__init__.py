"""One file per format in which a person or a machine reads a report."""
