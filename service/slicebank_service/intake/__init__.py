"""Taking uploads in: the body to staging, its files to series, the series to jobs."""
