"""Exports: a cohort of stored bags as one tar stream, in the layouts and with the tables that other people's software reads."""
