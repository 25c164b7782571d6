"""Mutants that nobody chose: triggers and effects drawn from distributions, and mechanical changes of the source.

None of it looks at the suite. What is drawn is settled first: a mutant counts where it was shown to be wrong on cases
that have a distribution of their own (`cases`), and is left out where it was not.
"""
