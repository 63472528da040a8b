"""The commands `slicebank encoders add`, `pull`, `verify` and `remove`, one file each.

Imports at their tops stay light: the CLI reads these modules to list its commands.
"""
