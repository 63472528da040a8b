"""The command line `slicebank`. Exit status: 0 done, 1 refused or failed, 2 a wrong command line, 130 interrupted."""

from slicebank.cli.entry import main

__all__ = ["main"]
