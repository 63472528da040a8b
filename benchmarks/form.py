"""How long a benchmark takes: short for `make bench`, full for the figures that are committed."""

from __future__ import annotations

import argparse
from enum import StrEnum


class Form(StrEnum):
    """Short: all benchmarks together within ten minutes on two cores. Full: enough repeats for figures worth quoting."""

    SHORT = "short"
    FULL = "full"

    def pick(self, short: int, full: int) -> int:
        """One of two sizes."""
        return short if self is Form.SHORT else full


def form_from_arguments(description: str | None) -> Form:
    """The form that a benchmark's own command line asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="the long form, whose figures are quoted")
    return Form.FULL if parser.parse_args().full else Form.SHORT
