from __future__ import annotations

import pytest

from slicebank_store.blobs import BlobKind, bag_key, check_key, head_key, parse_key, pixels_key
from slicebank_store.blobs.keys import KeyParts
from slicebank_store.errors import BadKey


def test_keys_begin_with_the_project_and_carry_job_and_fence() -> None:
    assert bag_key("default", "dummy", "b" * 32, "a" * 32, 3) == f"default/bags/dummy/{'b' * 32}-{'a' * 32}-3.h5"
    assert pixels_key("default", "a" * 32, 1) == f"default/pixels/{'a' * 32}-1.hdf5"
    assert head_key("default", "h" * 32, 2) == f"default/heads/{'h' * 32}-2.safetensors"
    for key in (bag_key("p", "e", "b", "j", 1), pixels_key("p", "c", 1), head_key("p", "h", 1)):
        assert check_key(key) == key


def test_names_that_would_leave_the_folder_are_refused() -> None:
    with pytest.raises(BadKey):
        bag_key("..", "dummy", "b", "j", 1)
    with pytest.raises(BadKey):
        bag_key("default", "a/b", "b", "j", 1)


def test_keys_tell_what_they_were_made_of() -> None:
    bag, job, head = "b" * 32, "a" * 32, "c" * 32
    assert parse_key(bag_key("p-1", "vit.x-2", bag, job, 12)) == KeyParts(BlobKind.BAG, "p-1", bag, job, 12)
    assert parse_key(pixels_key("p", job, 3)) == KeyParts(BlobKind.PIXELS, "p", None, job, 3)
    assert parse_key(head_key("p", head, 0)) == KeyParts(BlobKind.HEAD, "p", head, None, 0)
    for other in ("p/bags/dummy/a.h5", "p/notes", f"p/bags/dummy/{bag}-{job}-.h5", f"p/pixels/{job}-1.h5"):
        assert parse_key(other) is None
