"""The command line: one file per command; ``conformance.cli.main`` finds it."""
