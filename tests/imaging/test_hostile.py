"""Damaged and hostile files: a verdict or a decoding error, never another exception and never a warning."""

import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from slicebank_imaging.decoding import decode_frame
from slicebank_imaging.errors import DecodeFailed, ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.layout import PixelLayout
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom, write_enhanced_dicom
from slicebank_imaging.phantom.encoding import WRITABLE
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.syntaxes import RLE_LOSSLESS, SYNTAXES
from tests.imaging.making import read

LENIENT = ImportOptions((1.0, 0.0), force_not_hu=True)
HOSTILE = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
Damage = list[tuple[float, int]]
damages = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """One valid small file in each transfer syntax, single-frame and enhanced."""
    folder = tmp_path_factory.mktemp("valid")
    phantom = make_phantom(PhantomSpec(n_slices=2, size=16, slice_spacing_mm=20))
    for syntax in WRITABLE:
        write_dicom(phantom, folder / syntax, transfer_syntax=syntax)
        write_enhanced_dicom(phantom, folder / f"{syntax}.dcm", transfer_syntax=syntax)
    return [path.read_bytes() for path in sorted(folder.rglob("*.dcm"))]


def _digest(folder: Path, content: bytes) -> str:
    """Everything that an upload and a worker do with one file; "ok" or the code of the refusal."""
    path = folder / "x"
    path.write_bytes(content)
    try:
        header = read(path, options=LENIENT)
        for series in group_series([header], LENIENT).series:
            for stack in series.stacks:
                for ref in stack.slices:
                    SliceLoader(folder).load(ref).hounsfield()
    except ImagingError as error:
        return error.code if error.detail else "no sentence"
    return "ok"


@HOSTILE
@given(choice=st.integers(0, 10_000), damage=damages, keep=st.floats(0, 1))
@example(choice=0, damage=[], keep=1.0)
def test_damaged_files(tmp_path: Path, files: list[bytes], choice: int, damage: Damage, keep: float) -> None:
    content = bytearray(files[choice % len(files)])
    for where, value in damage:
        content[int(where * len(content))] = value
    code = _digest(tmp_path, bytes(content[: round(keep * len(content))]))
    if not damage and keep == 1.0:
        assert code == "ok"


@HOSTILE
@given(choice=st.integers(0, 10_000), damage=damages)
def test_damaged_headers(tmp_path: Path, files: list[bytes], choice: int, damage: Damage) -> None:
    content = bytearray(files[choice % len(files)])
    for where, value in damage:
        content[132 + int(where * min(1400, len(content) - 132))] = value
    _digest(tmp_path, bytes(content))


@HOSTILE
@given(content=st.binary(max_size=400), preamble=st.booleans())
def test_random_bytes(tmp_path: Path, content: bytes, preamble: bool) -> None:
    assert _digest(tmp_path, (b"\0" * 128 + b"DICM" if preamble else b"") + content) != "ok"


@pytest.mark.parametrize(
    "header",
    [
        (2, 64, 1 << 30),
        (2, 0xFFFFFFFF, 64),
        (2, 200, 64),
        (2, 0, 64),
        (2, 64, 0xFFFFFFFF),
        (15, *range(64, 79)),
        (0,),
        (1, 64),
        (0xFFFFFFFF, 64, 80),
    ],
)
def test_run_lengths_whose_segments_lie_elsewhere(tmp_path: Path, files: list[bytes], header: tuple[int, ...]) -> None:
    """The codec follows such offsets out of its memory, and takes the process with it."""
    source = next(content for content in files if b"1.2.840.10008.1.2.5\0" in content and len(content) < 4000)
    start = source.rindex(struct.pack("<3L", 2, 64, 64 + 16 * 17)[:8])
    lie = struct.pack("<16L", *header, *[0] * (16 - len(header)))
    assert _digest(tmp_path, source[:start] + lie + source[start + 64 :]) != "ok"
    layout = PixelLayout(rows=16, columns=16, frames=1, bits_allocated=16, bits_stored=16, high_bit=15, signed=True)
    with pytest.raises(DecodeFailed):
        decode_frame(lie + source[start + 64 :], layout, SYNTAXES[RLE_LOSSLESS])


@pytest.mark.realct
@pytest.mark.parametrize("name", ["cornerstone3d", "pydicom_data", "dwv", "dicom_ts_issues"])
def test_real_files_cut_and_damaged(tmp_path: Path, real_ct: Path, name: str) -> None:
    chance = random.Random(name)
    sources = sorted(path for path in (real_ct / "odd" / name).rglob("*") if path.is_file())
    for _ in range(150):
        content = bytearray(chance.choice(sources).read_bytes())
        reach = chance.choice([2_000, 6_000, len(content)])
        if chance.random() < 0.5:
            content = content[: chance.randrange(min(reach, len(content)))]
        for _ in range(chance.randrange(6)):
            if content:
                content[chance.randrange(min(reach, len(content)))] = chance.randrange(256)
        _digest(tmp_path, bytes(content))


def test_a_deflated_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, files: list[bytes]) -> None:
    source = next(content for content in files if b"1.2.840.10008.1.2.1.99" in content)
    meta = source[: 144 + int.from_bytes(source[140:144], "little")]  # PS3.10 section 7.1: the group's own length
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 300 << 20)
    bomb = packer.compress(element) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    tracemalloc.start()
    try:
        assert _digest(tmp_path, meta + bomb) == "bad_header"
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
