"""Stored values of every transfer syntax against pydicom's own decoders, or against the uncompressed original."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from slicebank_imaging.decoding import decode_frame
from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.layout import PixelLayout
from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from slicebank_imaging.phantom.encoding import WRITABLE
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    RLE_LOSSLESS,
    SYNTAXES,
)
from tests.imaging.making import ct_dataset, refusal, write

# pydicom needs plugins for these, which are not installed; the uncompressed original stands in.
WITHOUT_REFERENCE = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80")


def _load(path: Path, frame: int = 1) -> NDArray[np.integer]:  # type: ignore[type-arg]  # any integer
    ref = SliceRef(path.name, frame, "1.2.3", None, 0.0, 1.0, 0.0, None)
    return SliceLoader(path.parent).load(ref).stored


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned12", "signed16"])
@pytest.mark.parametrize("syntax", WRITABLE)
def test_every_lossless_syntax_gives_back_the_phantom(tmp_path: Path, syntax: str, signed: bool) -> None:
    phantom = make_phantom(PhantomSpec(n_slices=2, size=48, slice_spacing_mm=20))
    series = write_dicom(phantom, tmp_path, transfer_syntax=syntax, header=PhantomHeader(signed=signed))
    for path, hu in zip(series.paths, phantom.hu, strict=True):
        assert np.array_equal(_load(path).astype(int) - (0 if signed else 1024), hu)


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
@pytest.mark.parametrize("bits", [(8, 8, 7), (16, 12, 11), (16, 12, 15), (16, 16, 15), (32, 20, 19), (32, 32, 31)])
@pytest.mark.parametrize("signed", [False, True])
def test_integers_of_every_width(tmp_path: Path, syntax: str, bits: tuple[int, int, int], signed: bool) -> None:
    """Values sit below the high bit; what lies above and below them is rubbish and must not matter."""
    allocated, stored, high = bits
    low, top = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = np.linspace(low, top, 80).astype(np.int64)
    values[[0, -1]] = low, top
    rubbish = np.random.default_rng(1).integers(0, 1 << allocated, 80, dtype=np.int64)
    shift, mask = high + 1 - stored, (1 << stored) - 1
    cells = (rubbish & ~(mask << shift)) | ((values & mask) << shift)
    kind = (">" if syntax == EXPLICIT_VR_BIG_ENDIAN else "<") + f"u{allocated // 8}"
    data = ct_dataset(
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high,
        PixelRepresentation=int(signed),
        PixelData=cells.astype(kind).tobytes(),
        RescaleIntercept="-1",
    )
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"
    assert _load(write(tmp_path / "x", data, syntax)).ravel().tolist() == values.tolist()


def test_eight_bits_in_big_endian_words_are_swapped_back(tmp_path: Path) -> None:
    values = np.arange(80, dtype=np.uint8)
    data = ct_dataset(
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, RescaleIntercept="-1", PixelData=b""
    )
    data.PixelData = values.reshape(-1, 2)[:, ::-1].tobytes()
    data["PixelData"].VR = "OW"
    # pydicom swaps nothing on writing, so that these are the bytes of the file
    assert _load(write(tmp_path / "x", data, EXPLICIT_VR_BIG_ENDIAN)).ravel().tolist() == values.tolist()


def test_padding_outside_the_stored_bits_is_kept() -> None:
    layout = PixelLayout(1, 4, 1, 16, 12, 11, signed=True)
    cells = np.array([5, -2000, -3024, 0x0830], dtype="<i2")  # -2000 and 0x0830 share their lower 12 bits
    stored = decode_frame(cells.tobytes(), layout, SYNTAXES[EXPLICIT_VR_LITTLE_ENDIAN], padding=(-3024, -3000))
    assert stored.tolist() == [[5, -2000, -3024, -2000]]


@pytest.mark.parametrize("syntax", [JPEG_2000_LOSSLESS, JPEG_BASELINE, RLE_LOSSLESS, EXPLICIT_VR_LITTLE_ENDIAN])
def test_damaged_frames_fail_by_name(syntax: str) -> None:
    layout = PixelLayout(8, 8, 1, 16, 16, 15, signed=False)
    with pytest.raises(DecodeFailed):
        decode_frame(b"\xff\xd8\xff\xd9" * 10, layout, SYNTAXES[syntax])


def test_pydicom_takes_over_where_imagecodecs_is_missing(tmp_path: Path) -> None:
    """Run in a process whose imagecodecs cannot be imported."""
    import subprocess
    import sys

    phantom = make_phantom(PhantomSpec(n_slices=1, size=32, slice_spacing_mm=20))
    for syntax in (RLE_LOSSLESS, JPEG_2000_LOSSLESS):
        (path,) = write_dicom(phantom, tmp_path / syntax, transfer_syntax=syntax).paths
        np.save(tmp_path / "hu.npy", phantom.hu[0])
        code = (
            "import sys; sys.modules['imagecodecs'] = None\n"
            "from pathlib import Path\nimport numpy as np\n"
            "from slicebank_imaging.pixels import SliceLoader\nfrom slicebank_imaging.slices import SliceRef\n"
            f"path = Path({str(path)!r})\n"
            "ref = SliceRef(path.name, 1, '1', None, 0.0, 1.0, -1024.0, None)\n"
            f"hu = np.load({str(tmp_path / 'hu.npy')!r})\n"
            "assert np.array_equal(SliceLoader(path.parent).load(ref).hounsfield(), hu)\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.realct
def test_one_ge_slice_in_every_syntax(real_ct: Path) -> None:
    folder = real_ct / "odd" / "cornerstone3d"
    original = pydicom.dcmread(folder / "CTImage.dcm").pixel_array
    codes = {}
    for path in sorted(folder.glob("CTImage.dcm*")):
        syntax = path.stem.rsplit("_", 1)[-1]
        if syntax in ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"):
            error = refusal(path)
            codes[syntax] = error.code
            assert syntax in error.detail
            continue
        stored = _load(path)
        assert stored.dtype.isnative
        if syntax == "1.2.840.10008.1.2.4.81":  # near-lossless, within 1
            assert np.abs(stored.astype(int) - original).max() == 1
        elif syntax == "1.2.840.10008.1.2.4.51":  # lossy, 12 bit, unsigned, with a slope of its own
            data = pydicom.dcmread(path)
            hu = stored * float(data.RescaleSlope) + float(data.RescaleIntercept)
            assert np.abs(hu - (original - 1024.0)).mean() < 15
        elif syntax in WITHOUT_REFERENCE:
            assert np.array_equal(stored, original)
        else:
            assert np.array_equal(stored, pydicom.dcmread(path).pixel_array)
    assert codes == dict.fromkeys(("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"), "unsupported_transfer_syntax")


@pytest.mark.realct
@pytest.mark.parametrize(
    "name",
    [
        "pydicom/J2K_pixelrep_mismatch.dcm",
        "pydicom/693_J2KI.dcm",
        "pydicom_data/693_J2KR.dcm",
        "pydicom_data/693_UNCI.dcm",
        "pydicom_data/explicit_VR-UN.dcm",
        "dwv/osirix-toutatix-100.dcm",
        "dwv/osirix-goudurix.dcm",
        "highdicom/ct_image.dcm",
    ],
)
def test_odd_files_decode_as_in_pydicom(real_ct: Path, name: str) -> None:
    path = real_ct / "odd" / name
    assert np.array_equal(_load(path), pydicom.dcmread(path).pixel_array)


@pytest.mark.realct
def test_threads_decode_side_by_side(real_ct: Path) -> None:
    folder = real_ct / "odd" / "cornerstone3d"
    original = pydicom.dcmread(folder / "CTImage.dcm").pixel_array
    syntaxes = ("5", "4.70", "4.80", "4.90", "2", "1.99")
    paths = [path for path in folder.glob("CTImage.dcm_*") if path.stem.endswith(tuple(f"1.2.{s}" for s in syntaxes))]
    loader = SliceLoader(folder)
    refs = [SliceRef(path.name, 1, "1", None, 0.0, 1.0, 0.0, None) for path in paths] * 6
    with ThreadPoolExecutor(6) as pool:
        assert all(np.array_equal(item.stored, original) for item in pool.map(loader.load, refs))
    assert len(paths) == 6
