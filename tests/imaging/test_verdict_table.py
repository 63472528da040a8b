"""Every file of the real data folder has the verdict that the table names, and what is taken decodes as others do."""

import gzip
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import FileHeader
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import CTSlice, SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.windows import PADDING_HU
from tests.imaging.making import read
from tests.imaging.second_readers import gdcm_frames, pydicom_frames
from tests.imaging.verdict_table import CT_ARCHIVES, CT_REFUSED, CT_SERIES, NIFTI, ODD, Refused, Taken

# pydicom warns of what odd files get wrong, and GDCM's bindings of their own types.
pytestmark = [pytest.mark.realct, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]
WHOLE_UP_TO = 40


def _verdict(path: Path, name: str) -> FileHeader | Refused:
    try:
        return read(path, name=name)
    except ImagingError as error:
        return Refused(error.code, error.tag)


def _files(root: Path) -> dict[str, Path]:
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def _sample(refs: tuple[SliceRef, ...]) -> list[SliceRef]:
    """All slices of a small series; the first, middle and last three of a large one."""
    if len(refs) <= WHOLE_UP_TO:
        return list(refs)
    middle = len(refs) // 2
    return [*refs[:3], *refs[middle - 1 : middle + 2], *refs[-3:]]


def _assert_pydicom_agrees(path: Path, slices: Iterable[tuple[SliceRef, CTSlice]], tolerance: int) -> None:
    stored, rescaled = pydicom_frames(path)
    for ref, ct in slices:
        index = ref.frame_number - 1
        difference = np.abs(stored[index].astype(np.int64) - ct.stored)
        assert difference.max() <= tolerance, path
        padding = np.zeros(ct.stored.shape, bool)
        if ref.padding is not None:
            padding = (ct.stored >= ref.padding[0]) & (ct.stored <= ref.padding[1])
        hu = ct.hounsfield()
        assert np.all(hu[padding] == PADDING_HU)
        expected: NDArray[Any] = rescaled[index].astype(np.float32)
        if tolerance == 0:
            assert np.array_equal(hu[~padding], expected[~padding]), path
        else:
            assert np.allclose(hu[~padding], expected[~padding], atol=tolerance * abs(ref.slope) + 1e-3), path


def _assert_gdcm_agrees(path: Path, slices: Iterable[tuple[SliceRef, CTSlice]], tolerance: int) -> None:
    stored = gdcm_frames(path)
    assert stored is not None, path
    for ref, ct in slices:
        difference = np.abs(stored[ref.frame_number - 1].astype(np.int64) - ct.stored)
        assert difference.max() <= tolerance, path


def test_the_table_names_every_odd_file(real_ct: Path) -> None:
    assert set(_files(real_ct / "odd")) == set(ODD)


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_file(real_ct: Path, name: str) -> None:
    path = real_ct / "odd" / name
    expected = ODD[name]
    found = _verdict(path, name)
    if isinstance(expected, Refused):
        assert found == expected
        return
    assert isinstance(found, FileHeader), found
    (series,) = group_series([found], ImportOptions()).series
    refs = [ref for stack in series.stacks for ref in stack.slices]
    assert len(refs) == expected.slices
    slices = [(ref, SliceLoader(path.parent).load(ref)) for ref in refs]
    if expected.pydicom:
        with pytest.raises(RuntimeError):
            pydicom_frames(path)
    else:
        _assert_pydicom_agrees(path, slices, expected.tolerance)
    if expected.gdcm:
        with pytest.raises(AssertionError):
            _assert_gdcm_agrees(path, slices, expected.tolerance)
    else:
        _assert_gdcm_agrees(path, slices, expected.tolerance)
    assert not (expected.pydicom and expected.gdcm)


@pytest.mark.parametrize("folder", sorted(CT_SERIES))
def test_series(real_ct: Path, folder: str) -> None:
    root = real_ct / "ct"
    headers: list[FileHeader] = []
    places: dict[str, Path] = {}
    refused: dict[str, Refused] = {}
    names = [name for name in _files(root) if name.startswith(f"{folder}/") and name not in CT_ARCHIVES]
    for name in names:
        found = _verdict(root / name, name)
        if isinstance(found, Refused):
            refused[name] = found
        else:
            headers.append(found)
            places[found.file] = root / name
    assert refused == {name: verdict for name, verdict in CT_REFUSED.items() if name.startswith(f"{folder}/")}
    grouping = group_series(headers, ImportOptions())
    assert grouping.refused == ()
    assert grouping.refused_series == ()
    assert {series.series_uid: [len(stack.slices) for stack in series.stacks] for series in grouping.series} == {
        uid: [count] for uid, count in CT_SERIES[folder].items()
    }
    assert len(places) == len(headers)
    for series in grouping.series:
        for ref in _sample(series.stacks[0].slices):
            path = places[ref.file]
            slices = [(ref, SliceLoader(path.parent).load(ref))]
            _assert_pydicom_agrees(path, slices, 0)
            _assert_gdcm_agrees(path, slices, 0)


def test_every_folder_of_series_is_in_the_table(real_ct: Path) -> None:
    assert {path.name for path in (real_ct / "ct").iterdir()} == set(CT_SERIES)
    archives = {name for name in _files(real_ct / "ct") if name.endswith((".gz", ".zip", ".tar"))}
    assert archives == set(CT_ARCHIVES)


@pytest.mark.parametrize("name", sorted(CT_ARCHIVES))
def test_archive(tmp_path: Path, real_ct: Path, name: str) -> None:
    count, verdict = CT_ARCHIVES[name]
    path = tmp_path / "member"
    found = []
    with tarfile.open(real_ct / "ct" / name) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                path.write_bytes(content.read())
                found.append(_verdict(path, member.name))
    assert found == [verdict] * count


def test_the_table_names_every_nifti_file(real_ct: Path) -> None:
    assert set(_files(real_ct / "nifti")) == set(NIFTI)


@pytest.mark.parametrize("name", sorted(NIFTI))
def test_volume(tmp_path: Path, real_ct: Path, name: str) -> None:
    content = (real_ct / "nifti" / name).read_bytes()
    path = tmp_path / "volume.nii"
    path.write_bytes(gzip.decompress(content) if name.endswith(".gz") else content)
    expected = NIFTI[name]
    found = _verdict(path, name)
    if isinstance(expected, Refused):
        assert found == expected
        return
    assert isinstance(expected, Taken)
    assert isinstance(found, FileHeader), found
    (series,) = group_series([found], ImportOptions()).series
    (stack,) = series.stacks
    assert len(stack.slices) == expected.slices
    canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).get_fdata())
    for index, ref in enumerate(stack.slices):
        hu = SliceLoader(tmp_path).load(ref).hounsfield()
        assert np.array_equal(hu, canonical[::-1, ::-1, index].T)
