"""Encoders and heads. Importing this package, its cards, registry and head specifications needs no torch."""
