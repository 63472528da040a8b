"""Do frozen features of real CT know where a slice lies, what is in it and what it resembles, and better than others do?

Four series of four patients, none of which any encoder of ours was trained on. Regions by k-NN and linear probe, from other blocks of the same patient and from other patients;
organs and lesion slices from other blocks; the neighbouring slice and the same region of another patient by retrieval. Intervals are of the block bootstrap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.form import Form

NAME = "encoder_quality"
# The network with its seeded weights, at the size of its own card and at that of the encoder that ships.
BASELINES = ("mambaout_femto.untrained", "mambaout_femto.untrained@160", "hu_statistics")


def compare(encoder_ids: Sequence[str], form: Form, encoders: Path | None = None) -> dict[str, Any]:
    """Figures of some encoders; the first is judged against the others.

    Args:
        encoder_ids: of cards, `ID@160` with another size of input.
        form: the short one draws fewer samples.
        encoders: folder of registered encoders.
    """
    from benchmarks.encoder_quality.features import encode
    from benchmarks.encoder_quality.report import measure
    from benchmarks.encoder_quality.series import read_series

    with tempfile.TemporaryDirectory() as scratch:
        series = read_series(Path(scratch))
        features = {name: encode(name, series, encoders) for name in encoder_ids}
        return measure(series, features, form.pick(200, 2000))


def run(form: Form) -> None:
    """Measures the default encoder, its network with seeded weights and the statistics of HU side by side."""
    from benchmarks.encoder_quality.report import markdown
    from benchmarks.encoder_quality.series import DATA
    from benchmarks.record import save
    from slicebank_models.registry import DEFAULT_ENCODER

    if not DATA.is_dir():
        print(f"real CT not found at {DATA}: set SLICEBANK_TEST_DATA to its folder")
        return
    figures = compare(list(dict.fromkeys((DEFAULT_ENCODER, *BASELINES))), form)
    print(markdown(figures))
    print(save(NAME, __doc__ or "", figures, form))
