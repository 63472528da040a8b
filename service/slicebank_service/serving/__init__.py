"""`slicebank serve`: broker, API and workers as children of one supervisor."""
