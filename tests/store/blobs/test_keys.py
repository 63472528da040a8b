from __future__ import annotations

import pytest

from slicebank_store.blobs import bag_key, check_key, head_key, pixels_key
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
