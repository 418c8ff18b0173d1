"""Paths between two prompts, the curves recorded along them, and how sharp a curve is."""
