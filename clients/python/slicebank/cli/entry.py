"""The entry point, and the last place an error can go."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slicebank.cli.app import build_app
from slicebank.cli.output import Output

DEBUG_FLAG = "--debug"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit; a person never sees a traceback unless `--debug` asks for it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Taken out here because it is about this function and not about any command.
    debug = DEBUG_FLAG in given
    given = [argument for argument in given if argument != DEBUG_FLAG]
    app = build_app()
    if debug:
        app(args=given, prog_name="slicebank")
    try:
        app(args=given, prog_name="slicebank")
    except Exception as error:  # noqa: BLE001 - what no command expected still must reach a person as a sentence
        Output(as_json="--json" in given).fail(
            f"Something went wrong that should not: {type(error).__name__}: {error}",
            hint=f"Run the same command with {DEBUG_FLAG} and report what it prints.",
            code="unexpected",
        )
        sys.exit(1)
