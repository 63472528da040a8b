"""One small script a question; results as JSON with machine, versions and commit."""
