"""Runs every benchmark in its short form: `make bench`."""

from benchmarks import phantom_lesions

phantom_lesions.main()
