"""The commands, one file a noun or verb; each registers itself on the command line it is given."""
