"""What a worker does for a job, one module a kind."""
