"""What a run says of itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.chaos.faults import Fault
from tests.chaos.running import Outcome


def tell(text: str) -> None:
    """Writes to the run's own output, which pytest shows with -s or when a test fails."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report(title: str, faults: Sequence[Fault], outcome: Outcome, expected: int, left: Sequence[str]) -> str:
    """A few lines: what was done twice, and how often clients had to ask again.

    Args:
        title: names the run.
        faults: that were injected.
        outcome: of the run.
        expected: rows of all bags.
        left: what nobody needs any more, before `slicebank admin gc`.
    """
    work = outcome.work
    again = work.claims - work.jobs
    refused = ", ".join(f"{reason} {count}" for reason, count in outcome.refusals.most_common()) or "none"
    lines = [
        f"{title}, {len(faults)} faults, {work.jobs} jobs: {dict(work.states)}",
        f"rows encoded at least {outcome.rows}, expected {expected}: {outcome.rows - expected:+d} ({outcome.rows / expected - 1:+.1%})",
        f"jobs taken again {again}, attempts counted {work.attempts - work.jobs}, leases lost without progress {work.lost_leases}",
        f"uploads not acknowledged at once: {refused}",
        f"answers that no outage explains: {outcome.faults or 'none'}",
        f"left for `slicebank admin gc`: {len(left)}",
    ]
    return "\n".join(lines)
