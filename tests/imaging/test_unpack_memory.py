"""Memory stays flat however many members an archive lists."""

import tracemalloc
from pathlib import Path

from slicebank_imaging.unpack import UnpackLimits, recognise, unpack
from tests.imaging.packing import RawMember, raw_zip, tarred

MEMBERS = 8_000
MEMORY_BYTES = 6 << 20  # buffers of 256 KB, a directory's spans, no list of members


def test_long_lists_of_members_are_not_kept(tmp_path: Path) -> None:
    names = [f"{'d' * 500}/{number}.dcm" for number in range(MEMBERS)]
    into = tmp_path / "into"
    into.mkdir()
    for kind, content in (
        ("zip", raw_zip([RawMember(name.encode(), b"x") for name in names])),
        ("tar", tarred(dict.fromkeys(names, b"x"))),
    ):
        path = tmp_path / kind
        path.write_bytes(content)
        del content
        found = recognise(path)
        assert found is not None
        tracemalloc.start()
        try:
            count = 0
            for member in unpack(path, found, into, UnpackLimits()):
                (into / member.file).unlink()  # type: ignore[union-attr]  # none is rejected
                count += 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count == MEMBERS
        assert peak < MEMORY_BYTES
