"""From the figures of training heads to Markdown."""

from __future__ import annotations

from benchmarks.page.tables import Figures, number, table, wanted


def head_training(figures: Figures) -> str:
    """One epoch of every fold here and in a plain loop; what reading the cohort costs; a whole training."""
    seconds, spread, reading = figures["seconds_an_epoch"], figures["spread"], figures["reading"]
    rows = [
        [name, number(seconds[key]), f"{100 * spread[key]:.0f} %", f"{figures['peak_mib'][key]:.0f}"]
        for key, name in (("loop", "plain loop"), ("slicebank", "slicebank"))
    ]
    reads = [
        [state, number(reading["seconds"][f"raw_{state}"]), number(reading["seconds"][f"cache_{state}"]), number(ratio)]
        for state, ratio in (("cold", reading["over_raw_cold"]), ("warm", reading["over_raw_warm"]))
    ]
    header = ("", f"one epoch of {figures['folds']} folds, s", "spread", "memory, MiB")
    whole, epochs = figures["protocol"], figures["protocol"]["epochs"]
    return (
        f"{table(header, rows)}\n\n"
        f"{figures['bags']} bags of {figures['rows']} rows of {figures['dim']} numbers: **{number(figures['times_as_fast'])} times as fast** "
        f"({wanted(figures['times_as_fast'], figures['needed']['times_as_fast'], at_most=False)}). "
        f"The whole protocol, from files to report, {min(epochs)} to {max(epochs)} epochs a fold, takes {whole['seconds']:.0f} s here.\n\n"
        f"{table(('files', 'read(), s', 'into the cache, s', 'ratio'), reads)}\n\n"
        f"Cold, {wanted(reading['over_raw_cold'], figures['needed']['reading_over_raw'], at_most=True)}; warm files are in memory, and "
        "what is left is copying them once more."
    )
