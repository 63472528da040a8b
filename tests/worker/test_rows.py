"""Rows are exactly what the formula says, and one grey level at most apart after the resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import CTSlice, SliceLoader
from slicebank_imaging.windows import NAMED
from slicebank_worker.engine.rows import RowSpec, make_rows, prepare_slice
from tests import reference

WINDOWS = (NAMED["abdomen"], NAMED["lung"])
SPEC = RowSpec(WINDOWS, size=224, hounsfield=False, thumbnails=True)


def stack_of(folder: Path) -> list[CTSlice]:
    headers = [
        read_file_header(path, file=path.name, name=path.name, options=ImportOptions())
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]
    series = group_series(headers, ImportOptions()).series[0]
    stack = next(stack for stack in series.stacks if stack.stack == series.default_stack)
    loader = SliceLoader(folder)
    return [loader.load(ref) for ref in stack.slices]


@pytest.mark.realct
@pytest.mark.parametrize(
    "folder",
    [
        "ge_head_tilt_variable_spacing",
        "siemens_abdomen_j2k_20",
        "no_modality_tag",
        "dcmqi_multiframe_and_seg/ct-3slice",
    ],
)
def test_every_slice_equals_the_reference(real_ct: Path, folder: str) -> None:
    path = real_ct / "ct" / folder
    slices = stack_of(path)
    expected = reference.read_slices(p for p in path.iterdir() if p.is_file())
    assert len(slices) == len(expected)
    for ct, wanted in zip(slices, expected, strict=True):
        for window, bounds in zip(WINDOWS, (reference.ABDOMEN, reference.LUNG), strict=True):
            np.testing.assert_array_equal(ct.render(window), reference.gray8(wanted.hu, bounds))
        rows = make_rows(prepare_slice(ct, SPEC).parcel).astype(int)
        if wanted.hu.shape[0] == wanted.hu.shape[1]:
            assert np.abs(rows - reference.make_rows([wanted])).max() <= 1


def test_hounsfield_rows_are_the_share_of_the_window() -> None:
    ct = CTSlice(np.full((64, 64), 1024, np.int16), slope=1.0, intercept=-1024.0, padding=None)
    prepared = prepare_slice(ct, RowSpec((NAMED["full"], NAMED["lung"]), size=32, hounsfield=True, thumbnails=False))
    assert make_rows(prepared.parcel).shape == (2, 32, 32)
    assert make_rows(prepared.parcel).dtype == np.float32
    np.testing.assert_allclose(make_rows(prepared.parcel)[0], 1024 / 4095, rtol=1e-6)
    np.testing.assert_allclose(make_rows(prepared.parcel)[1], 0.75, rtol=1e-6)
    assert prepared.thumbnail is None


def test_padding_is_black_and_counted() -> None:
    stored = np.full((40, 40), 100, np.int16)
    stored[:4] = -2000
    prepared = prepare_slice(CTSlice(stored, 1.0, 0.0, (-2000, -2000)), SPEC)
    assert prepared.padding_pixels == 160
    assert make_rows(prepared.parcel)[:, 0, 100].max() == 0
    assert prepared.thumbnail is not None
    assert prepared.thumbnail.startswith(b"\xff\xd8")
