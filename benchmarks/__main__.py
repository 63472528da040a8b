"""Runs benchmarks: `python -m benchmarks [--full] [--gpu] [NAME ...]`; without names, all of them."""

from __future__ import annotations

import argparse
import time

from benchmarks import BENCHMARKS, GPU_BENCHMARKS
from benchmarks.form import Form


def main() -> None:
    """Runs what is named, in order, and says how long each took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--full", action="store_true", help="the long forms, whose figures are quoted")
    parser.add_argument("--gpu", action="store_true", help="the forms that need a CUDA device")
    arguments = parser.parse_args()
    known = GPU_BENCHMARKS if arguments.gpu else BENCHMARKS
    form = Form.FULL if arguments.full else Form.SHORT
    if unknown := set(arguments.names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in arguments.names or known:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        known[name](form)
        print(f"   {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
