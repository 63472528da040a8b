"""Feature store of slicebank."""
