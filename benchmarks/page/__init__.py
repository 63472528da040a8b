"""Tables and plots of docs/performance.md, made from the results; `python -m benchmarks.page` rewrites them."""
