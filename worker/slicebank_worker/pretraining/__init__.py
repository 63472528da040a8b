"""Where the slices of pre-training come from: data sets, folders and stores, read into a cache."""
