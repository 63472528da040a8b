"""Reports: one page for a head and one for a prediction, each a single file, and their figures as SVG."""
