"""Headers that contradict their pixels: refused, or read the one way that can be right."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from slicebank_imaging import syntaxes
from slicebank_imaging.errors import DecodeFailed, ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from tests.imaging.making import ct_dataset, ramp, read, refusal, write

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def _compressed(path: Path, frame: bytes, syntax: str, **changes: Any) -> Path:
    data = ct_dataset(**changes)
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return write(path, data, syntax)


def _stored(path: Path) -> NDArray[Any]:
    header = read(path)
    (series,) = group_series([header], ImportOptions()).series
    return SliceLoader(path.parent).load(series.stacks[0].slices[0]).stored


def _verdict(path: Path) -> tuple[str, str | None]:
    error = refusal(path)
    return error.code, error.tag


def _noise(bits: int) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 1 << bits, (8, 10)).astype(np.uint16)


def _jpeg_2000(pixels: NDArray[Any], bits: int) -> bytes:
    encoded: bytes = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=bits)
    return encoded


def test_unsigned_jpeg_2000_under_a_signed_header_of_the_same_depth_is_read_as_the_header_says(tmp_path: Path) -> None:
    values = ramp() - 200
    frame = _jpeg_2000((values.astype(np.uint16) & 0x1FFF), 13)
    path = _compressed(tmp_path / "x", frame, syntaxes.JPEG_2000_LOSSLESS, BitsStored=13, HighBit=12)
    assert np.array_equal(_stored(path), values)
    (series,) = group_series([read(path)], ImportOptions()).series
    assert any("(0028,0103) PixelRepresentation" in warning for warning in series.warnings)


def test_samples_of_fewer_bits_than_stored_are_taken_where_they_can_only_mean_one_value(tmp_path: Path) -> None:
    low = _noise(11)
    path = _compressed(tmp_path / "low", _jpeg_2000(low, 12), syntaxes.JPEG_2000_LOSSLESS)
    assert np.array_equal(_stored(path), low)
    path = _compressed(tmp_path / "high", _jpeg_2000(_noise(12), 12), syntaxes.JPEG_2000_LOSSLESS)
    with pytest.raises(DecodeFailed) as failed:
        _stored(path)
    assert failed.value.tag == "(0028,0101) BitsStored"


def test_signed_jpeg_2000_under_an_unsigned_header_is_taken_where_nothing_is_negative(tmp_path: Path) -> None:
    changes = {"PixelRepresentation": 0}
    path = _compressed(tmp_path / "x", _jpeg_2000(np.abs(ramp()), 16), syntaxes.JPEG_2000_LOSSLESS, **changes)
    assert np.array_equal(_stored(path), np.abs(ramp()))
    path = _compressed(tmp_path / "y", _jpeg_2000(ramp(), 16), syntaxes.JPEG_2000_LOSSLESS, **changes)
    with pytest.raises(DecodeFailed) as failed:
        _stored(path)
    assert failed.value.tag == "(0028,0103) PixelRepresentation"


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (syntaxes.JPEG_LOSSLESS_SV1, lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=16)),
        (syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode),
        (syntaxes.JPEG_2000_LOSSLESS, lambda pixels: _jpeg_2000(pixels, 16)),
    ],
)
def test_a_frame_without_its_end_is_refused_at_once(
    tmp_path: Path, syntax: str, encode: Callable[[NDArray[Any]], bytes]
) -> None:
    frame = bytes(encode(_noise(16)))
    whole = _compressed(tmp_path / "whole", frame, syntax, PixelRepresentation=0)
    assert np.array_equal(_stored(whole), _noise(16))
    for keep in (0.6, 0.95):
        cut = _compressed(tmp_path / "cut", frame[: int(keep * len(frame))], syntax, PixelRepresentation=0)
        assert _verdict(cut) == ("truncated_file", "(7FE0,0010) PixelData")


def test_an_end_marker_may_be_padded_and_split_over_fragments(tmp_path: Path) -> None:
    frame = bytes(imagecodecs.jpegls_encode(_noise(16)))
    data = ct_dataset(PixelRepresentation=0)
    cut = frame.rindex(b"\xff\xd9") + 1
    data.PixelData = b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part
        for part in (b"", frame[:cut], frame[cut:] + bytes(3))
    ) + bytes.fromhex("feffdde000000000")
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    assert np.array_equal(_stored(write(tmp_path / "x", data, syntaxes.JPEG_LS_LOSSLESS)), _noise(16))


def test_rle_segments_and_jpeg_depth_must_be_those_of_the_header(tmp_path: Path) -> None:
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    path = _compressed(tmp_path / "rle", header + b"\x07abcdefgh" * 10, syntaxes.RLE_LOSSLESS)
    assert _verdict(path) == ("bad_header", "(0028,0100) BitsAllocated")
    frame = bytes(imagecodecs.jpeg8_encode(_noise(8).astype(np.uint8), level=90))
    changes = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    path = _compressed(tmp_path / "jpeg", frame, syntaxes.JPEG_EXTENDED, **changes)
    assert _verdict(path) == ("bad_header", "(0028,0101) BitsStored")


def test_declared_deflation_that_is_none_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x", ct_dataset())
    content = path.read_bytes()
    declared = b"1.2.840.10008.1.2.1\0"
    assert declared in content
    changed = content.replace(b"UI\x14\0" + declared, b"UI\x16\0" + b"1.2.840.10008.1.2.1.99", 1)
    path.write_bytes(changed)
    assert _verdict(path) == ("wrong_transfer_syntax", "(0002,0010) TransferSyntaxUID")


@pytest.mark.parametrize(
    ("changes", "code", "tag"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation", "(0028,0301) BurnedInAnnotation"),
        ({"BurnedInAnnotation": "YES", "SOPClassUID": SECONDARY_CAPTURE}, "burned_in_annotation", None),
        ({"SOPClassUID": SECONDARY_CAPTURE, "ConversionType": "DF"}, "not_an_image", "(0008,0064) ConversionType"),
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            "not_grayscale",
            "(0028,0004) PhotometricInterpretation",
        ),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_grayscale", "(0028,0004) PhotometricInterpretation"),
        ({"SamplesPerPixel": 3}, "not_grayscale", "(0028,0002) SamplesPerPixel"),
    ],
)
def test_captures_never_enter(tmp_path: Path, changes: dict[str, Any], code: str, tag: str | None) -> None:
    path = write(tmp_path / "x", ct_dataset(**changes))
    for options in (ImportOptions(), ImportOptions((1.0, 0.0), force_not_hu=True)):
        error = refusal(path, options=options)
        assert error.code == code
        assert tag in (None, error.tag)


def test_burned_in_annotation_no_is_taken(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x", ct_dataset(BurnedInAnnotation="NO"))).frames


@pytest.mark.parametrize("keyword", ["Modality", "PhotometricInterpretation", "RescaleType"])
def test_sentences_quote_defined_terms_only(tmp_path: Path, keyword: str) -> None:
    data = ct_dataset()
    setattr(data, keyword, "DOE JOHN")
    error: ImagingError = refusal(write(tmp_path / "x", data))
    assert "DOE" not in error.detail.upper()
    assert "no defined term" in error.detail
