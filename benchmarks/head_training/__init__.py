"""How much faster does slicebank train a head on stored bags than a plain PyTorch loop, and what does reading the cohort cost?

The loop opens one HDF5 file an item in the two workers of a DataLoader, draws 512 of its rows, or pads with zeros to 512, and trains
fold after fold in float32 with the batches, network and optimiser of the paper's protocol; its workers stay alive, and it measures each
epoch on 512 rows of the validation bags, where slicebank reads them whole. Both train all folds on the same splits, the loop one epoch a
turn, slicebank two (so that two cores can share ten epochs of five folds evenly, as over a whole training); they take turns, each in a process of its own, and the ratio is that of
the medians for one epoch of all folds. Reading the cohort into slicebank's cache stands
outside those turns (it happens once for all epochs of all folds) and is measured against reading the same files with `read()`: cold,
after the files are dropped from the page cache, and warm.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.record import save
from benchmarks.timing import Timing, take_turns

ROWS, FOLDS = 600, 5
LOOP_EPOCHS, OUR_EPOCHS = 1, 2
NEEDED_SPEED, NEEDED_READING = 5.0, 1.5


def run(form: Form) -> None:
    """Writes a cohort, then lets loop and engine take turns."""
    from benchmarks.head_training import cohort, engine, plain_loop

    n_bags, rounds = form.pick(40, 1000), form.pick(1, 3)
    spawn = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        bags = Path(folder)
        cohort.write(bags, n_bags, ROWS)
        splits = cohort.splits(n_bags, FOLDS)
        with (
            ProcessPoolExecutor(1, mp_context=spawn) as loop,
            ProcessPoolExecutor(1, mp_context=spawn) as ours,
        ):
            reading = ours.submit(engine.measure_reading, bags, n_bags, form.pick(2, 5)).result()
            print(reading, flush=True)
            ours.submit(engine.start, bags, n_bags).result()
            loop.submit(plain_loop.start, bags, splits).result()
            turns = take_turns(
                {
                    "loop": lambda: loop.submit(plain_loop.train, LOOP_EPOCHS).result(),
                    "slicebank": lambda: ours.submit(engine.train, OUR_EPOCHS).result(),
                },
                rounds,
            )
            peaks = {
                "loop": loop.submit(plain_loop.peak_mib).result(),
                "slicebank": ours.submit(engine.held_mib).result(),
            }
        with ProcessPoolExecutor(1, mp_context=spawn) as whole:
            protocol = whole.submit(engine.whole_protocol, bags, n_bags, form.pick(1, 32)).result()
    figures = {
        "bags": n_bags,
        "rows": ROWS,
        "dim": cohort.DIM,
        "folds": FOLDS,
        "epochs_a_turn": {"loop": LOOP_EPOCHS, "slicebank": OUR_EPOCHS},
        "rounds": rounds,
        **_compared(turns),
        "peak_mib": peaks,
        "reading": reading,
        "protocol": protocol,
        "needed": {"times_as_fast": NEEDED_SPEED, "reading_over_raw": NEEDED_READING},
    }
    print({name: figures[name] for name in ("seconds_an_epoch", "times_as_fast", "peak_mib", "protocol")})
    print(save("head_training", __doc__ or "", figures, form))


def _compared(turns: dict[str, Timing]) -> dict[str, Any]:
    loop, ours = turns["loop"].median / LOOP_EPOCHS, turns["slicebank"].median / OUR_EPOCHS
    return {
        "seconds_an_epoch": {"loop": loop, "slicebank": ours},
        "spread": {name: timing.spread() for name, timing in turns.items()},
        "times_as_fast": loop / ours,
    }


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
