"""Archives inside archives: names joined, limits counted over all of them, nothing of the packing left on the disk."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicebank_imaging.errors import ArchiveTooLarge, TooManyFiles
from slicebank_imaging.unpack import UnpackLimits
from tests.imaging.packing import COMPRESSORS, KINDS, pack, unpacked, zipped

MEGABYTE = 1 << 20


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_every_kind_in_every_kind(tmp_path: Path, outer: str, inner: str) -> None:
    content = pack(outer, {"0": b"first", f"in.{inner}": pack(inner, {"a/1": b"x", "2": b"y"}), "9": b"last"})
    expected = {"0": b"first", f"in.{inner}/a/1": b"x", f"in.{inner}/2": b"y", "9": b"last"}
    assert unpacked(tmp_path, content) == (expected, {})


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_single_files_keep_their_names(tmp_path: Path, suffix: str) -> None:
    files = {f"study/{number}.dcm": str(number).encode() * 999 for number in range(3)}
    content = zipped({f"{name}.{suffix}": COMPRESSORS[suffix](data) for name, data in files.items()})
    assert unpacked(tmp_path, content) == ({f"{name}.{suffix}": data for name, data in files.items()}, {})


def _nested(levels: int, content: bytes = b"x") -> bytes:
    for level in range(levels):
        content = zipped({f"{level}.zip" if level else "file": content})
    return content


def test_depth_is_limited(tmp_path: Path) -> None:
    assert unpacked(tmp_path, _nested(3)) == ({"2.zip/1.zip/file": b"x"}, {})
    assert unpacked(tmp_path, _nested(4)) == ({}, {"3.zip/2.zip/1.zip": "nested_too_deep"})
    assert unpacked(tmp_path, _nested(4), UnpackLimits(max_depth=4)) == ({"3.zip/2.zip/1.zip/file": b"x"}, {})
    assert unpacked(tmp_path, _nested(2), UnpackLimits(max_depth=1)) == ({}, {"1.zip": "nested_too_deep"})


def test_a_bad_archive_inside_harms_no_other(tmp_path: Path) -> None:
    good = zipped({"1": b"x"})
    damaged = bytearray(pack("stored.zip", {"2": b"B" * 99, "3": b"C" * 99}))
    damaged[damaged.index(b"BBB")] ^= 1
    files = {"cut.zip": good[:-9], "empty.zip": zipped({}), "half.zip": bytes(damaged), "good.zip": good, "4": b"y"}
    taken, rejected = unpacked(tmp_path, pack("tar", files))
    assert taken == {"half.zip/3": b"C" * 99, "good.zip/1": b"x", "4": b"y"}
    assert rejected == {"cut.zip": "bad_archive", "empty.zip": "empty_archive", "half.zip/2": "bad_archive"}


def test_files_are_counted_over_all_levels(tmp_path: Path) -> None:
    inner = zipped({str(number): b"x" for number in range(4)})
    content = zipped({"a.zip": inner, "b.zip": inner, "c": b"y"})
    assert len(unpacked(tmp_path, content, UnpackLimits(max_files=9))[0]) == 9
    with pytest.raises(TooManyFiles):
        unpacked(tmp_path, content, UnpackLimits(max_files=8))


def test_bytes_are_counted_over_all_levels_and_those_of_the_packing_given_back(tmp_path: Path) -> None:
    inner = pack("stored.zip", {"1": bytes(MEGABYTE)})
    content = pack("stored.zip", {"a.zip": inner, "b.zip": inner})
    assert len(unpacked(tmp_path, content, UnpackLimits(max_bytes=3 * MEGABYTE + 9999))[0]) == 2
    with pytest.raises(ArchiveTooLarge, match="bytes"):
        unpacked(tmp_path, content, UnpackLimits(max_bytes=2 * MEGABYTE + 9999))


def test_the_ratio_is_that_of_the_whole_upload(tmp_path: Path) -> None:
    inner = zipped({"1": bytes(40 * MEGABYTE)})
    content = zipped({f"{number}.zip": inner for number in range(20)})
    with pytest.raises(ArchiveTooLarge, match="times its size"):
        unpacked(tmp_path, content)


def test_an_archive_that_holds_itself_ends(tmp_path: Path) -> None:
    """As a quine would: each level is the same archive again."""
    content = b"x"
    for _ in range(200):
        content = gzip.compress(content)
    assert unpacked(tmp_path, content, name="quine.gz") == ({}, {"quine.gz": "nested_too_deep"})


def test_42_zip(tmp_path: Path) -> None:
    """Sixteen zips in each of sixteen zips, and so on; each level alone looks harmless."""
    content = zipped({"0": bytes(4 * MEGABYTE)})
    for _ in range(5):
        content = zipped({f"{number}.zip": content for number in range(16)})
    taken, rejected = unpacked(tmp_path, content)
    assert taken == {}
    assert set(rejected.values()) == {"nested_too_deep"}
    with pytest.raises(ArchiveTooLarge):
        unpacked(tmp_path, content, UnpackLimits(max_depth=9, max_bytes=100 * MEGABYTE))


contents = st.binary(max_size=300).map(lambda data: b"\0" + data)
plain = st.dictionaries(st.from_regex(r"[a-w][a-w0-9]{0,9}", fullmatch=True), contents, min_size=1, max_size=3)
nested = st.dictionaries(
    st.from_regex(r"x[a-w0-9]{1,9}", fullmatch=True), st.tuples(st.sampled_from(KINDS), plain), max_size=3
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), files=plain, archives=nested)
def test_any_tree_of_archives_survives(
    tmp_path: Path, kind: str, files: dict[str, bytes], archives: dict[str, tuple[str, dict[str, bytes]]]
) -> None:
    content = pack(kind, files | {name: pack(inner, tree) for name, (inner, tree) in archives.items()})
    below = {f"{name}/{place}": data for name, (_, tree) in archives.items() for place, data in tree.items()}
    assert unpacked(tmp_path, content) == (files | below, {})


def test_office_documents_are_zips_and_their_parts_no_more_than_files(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    assert unpacked(tmp_path, zipped({"letter.docx": sink.getvalue()})) == (
        {"letter.docx/[Content_Types].xml": b"<Types/>"},
        {},
    )
