"""Training of heads on stored bags: splits, loop, metrics."""
