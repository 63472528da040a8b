from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slicebank_store import identity
from slicebank_store.errors import BadKey
from slicebank_store.identity import ProjectKeys


def test_ids_are_random_and_32_hex_digits() -> None:
    ids = {identity.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(identity.is_id(one) for one in ids)
    assert not identity.is_id("A" * 32)


def test_bag_id_depends_on_each_part_and_on_nothing_else() -> None:
    parts = ("default", "1.2.3", "c" * 64, "r" * 64)
    bag = identity.bag_id(*parts)
    assert identity.is_id(bag)
    assert identity.bag_id(*parts) == bag
    others = {identity.bag_id(*parts[:at], parts[at] + "0", *parts[at + 1 :]) for at in range(4)}
    assert len(others | {bag}) == 5


def test_parts_of_an_identity_never_run_together() -> None:
    assert identity.bag_id("a", "bc", "", "") != identity.bag_id("ab", "c", "", "")
    assert identity.content_digest(["ab", "c"]) != identity.content_digest(["a", "bc"])


def test_content_digest_follows_the_order() -> None:
    assert identity.content_digest(["a", "b"]) != identity.content_digest(["b", "a"])


def test_patient_hash_is_a_keyed_hmac_without_padding_blanks() -> None:
    key = b"k" * 32
    expected = hmac.new(key, b"PAT1", hashlib.sha256).hexdigest()
    assert identity.patient_hash(key, "PAT1 ") == expected
    assert identity.patient_hash(b"j" * 32, "PAT1") != expected


def test_project_keys_are_made_once_and_private(tmp_path: Path) -> None:
    keys = ProjectKeys(tmp_path / "keys")
    first = keys.key("default")
    assert len(first) == 32
    assert ProjectKeys(tmp_path / "keys").key("default") == first
    assert keys.key("other") != first
    assert keys.patient("default", "PAT1") == identity.patient_hash(first, "PAT1")
    files = sorted((tmp_path / "keys").iterdir())
    assert [file.name for file in files] == ["default.key", "other.key"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_threads_agree_on_a_new_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(lambda _: ProjectKeys(tmp_path).key("default"), range(64)))
    assert len(found) == 1


def test_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "default.key").write_text("00ff")
    with pytest.raises(BadKey, match="damaged"):
        ProjectKeys(tmp_path).key("default")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "a" * 129, "ä", "a\n"])
def test_unusable_names_are_refused(name: str) -> None:
    with pytest.raises(BadKey):
        identity.check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "A.b_c-1", "a" * 128])
def test_usable_names_pass(name: str) -> None:
    assert identity.check_name(name) == name
