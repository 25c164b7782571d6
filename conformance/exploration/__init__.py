"""Exploration: a campaign over seeds, as a folder of reports; which classes its cases met, and what it found."""
