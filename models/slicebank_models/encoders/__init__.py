"""Slice encoders, one file an architecture."""
