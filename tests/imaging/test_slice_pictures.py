"""Pictures of slices are those that an encoder's windows render."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_imaging.slice_pictures import slice_pictures
from slicebank_imaging.windows import NAMED, render_gray8


def test_slices_are_counted_from_inferior(tmp_path: Path) -> None:
    phantom = make_phantom(PhantomSpec(seed=1, n_slices=5, size=32))
    larger = make_phantom(PhantomSpec(seed=2, n_slices=6, size=32))
    written = write_dicom(phantom, tmp_path / "a")
    write_dicom(larger, tmp_path / "b")
    (tmp_path / "a" / "notes.txt").write_text("no CT")
    pictures = slice_pictures(tmp_path, [0, 4, 9], ["lung", "abdomen"], series_uid=written.series_uid)
    assert sorted(pictures) == [(0, "abdomen"), (0, "lung"), (4, "abdomen"), (4, "lung")]
    for (index, window), png in pictures.items():
        assert np.array_equal(np.asarray(Image.open(BytesIO(png))), render_gray8(phantom.hu[index], NAMED[window]))
    # A series of another name, as a service that hashes UIDs tells it: the one with the most slices.
    (png,) = slice_pictures(tmp_path, [5], ["lung"], series_uid="hashed").values()
    assert np.array_equal(np.asarray(Image.open(BytesIO(png))), render_gray8(larger.hu[5], NAMED["lung"]))


def test_no_series_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no CT")
    with pytest.raises(DecodeFailed, match="no axial CT"):
        slice_pictures(tmp_path, [0], ["lung"])
