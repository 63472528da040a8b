"""Readers of archive formats: each lists its members and copies them out, trusting no number that it finds."""
