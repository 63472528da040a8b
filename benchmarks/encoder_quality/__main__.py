"""Compares encoders on real CT: `python -m benchmarks.encoder_quality [--full] [--encoders FOLDER] [--save] [ID ...]`.

The first is judged against the others; without ids, the default encoder against its seeded network and the statistics of HU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.encoder_quality import BASELINES, NAME, compare
from benchmarks.encoder_quality import __doc__ as question
from benchmarks.encoder_quality.report import markdown
from benchmarks.form import Form
from benchmarks.record import save
from slicebank_models.registry import DEFAULT_ENCODER


def main() -> None:
    """Encodes, measures and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder_quality", description=__doc__)
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="encoders, ID@160 with slices of 160 pixels; the first is judged against the others",
    )
    parser.add_argument("--full", action="store_true", help="ten times the samples of the bootstrap")
    parser.add_argument("--encoders", type=Path, help="folder of registered encoders")
    parser.add_argument("--save", action="store_true", help="write the figures below benchmarks/results as well")
    arguments = parser.parse_args()
    form = Form.FULL if arguments.full else Form.SHORT
    ids = arguments.ids or list(dict.fromkeys((DEFAULT_ENCODER, *BASELINES)))
    figures = compare(ids, form, arguments.encoders)
    print(markdown(figures))
    if arguments.save:
        print(save(NAME, question or "", figures, form))


if __name__ == "__main__":
    main()
