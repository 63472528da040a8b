"""Heads: from the rows of a bag to an answer. The specifications and targets in here need no torch."""
