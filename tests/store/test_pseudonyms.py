from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import KeyMismatch
from slicebank_store.identity import ProjectKeys
from slicebank_store.pseudonyms import PatientPolicy, Policies, Pseudonyms, UidPolicy, open_pseudonyms

UIDS = st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,12}){1,6}", fullmatch=True)
HASHED = Policies(UidPolicy.HASH, PatientPolicy.HASH)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ProjectKeys:
    return ProjectKeys(tmp_path_factory.mktemp("keys"))


@given(uid=UIDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hashed_uid_is_a_uid_that_is_known_again(keys: ProjectKeys, uid: str) -> None:
    names = Pseudonyms(keys, "p", HASHED)
    hashed = names.uid(uid)
    assert hashed == names.uid(uid) != uid
    assert hashed.startswith("2.25.")
    assert len(hashed) <= 64  # PS3.5 section 9.1
    assert names.uid_asked(uid) == hashed, "the sender's own"
    assert names.uid_asked(hashed) == hashed, "as answers show it"


@given(number=st.integers(0, 2**128 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_uids_of_others_under_the_same_root_are_hashed(keys: ProjectKeys, number: int) -> None:
    uid = f"2.25.{number}"
    assert Pseudonyms(keys, "p", HASHED).uid_asked(uid) != uid


def test_projects_do_not_share_pseudonyms(keys: ProjectKeys) -> None:
    mine, yours = Pseudonyms(keys, "p", HASHED), Pseudonyms(keys, "q", HASHED)
    assert mine.uid("1.2.3") != yours.uid("1.2.3")
    assert mine.patient("A") != yours.patient("A")
    assert yours.uid_asked(mine.uid("1.2.3")) != mine.uid("1.2.3")


def test_what_is_kept_stays_as_it_is(keys: ProjectKeys) -> None:
    names = Pseudonyms(keys, "p", Policies(UidPolicy.KEEP, PatientPolicy.KEEP))
    assert names.uid("1.2.3") == names.uid_asked("1.2.3") == "1.2.3"
    assert names.patient(" Smith ") == names.patient_asked("Smith") == "Smith"


def test_patients_are_hashed_as_they_always_were(tmp_path: Path) -> None:
    keys = ProjectKeys(tmp_path)
    names = Pseudonyms(keys, "p", Policies())
    assert names.patient("A") == keys.patient("p", "A")
    assert names.patient_asked(names.patient("A")) == names.patient("A")


@pytest.mark.parametrize("patient_id", ["A" * 257, "A\0B"])
def test_a_kept_patient_that_no_database_stores_is_hashed(keys: ProjectKeys, patient_id: str) -> None:
    names = Pseudonyms(keys, "default", Policies(patients=PatientPolicy.KEEP))
    assert re.fullmatch("[0-9a-f]{64}", names.patient(patient_id))
    assert names.patient("A" * 256) == "A" * 256


def test_a_process_with_another_key_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    ours, others = ProjectKeys(tmp_path / "ours"), ProjectKeys(tmp_path / "others")
    catalogue.projects.settle("p")
    names = open_pseudonyms(catalogue.projects, ours, "p")
    assert open_pseudonyms(catalogue.projects, ours, "p").patient("A") == names.patient("A")
    with pytest.raises(KeyMismatch, match="same SLICEBANK_KEYS_DIR"):
        open_pseudonyms(catalogue.projects, others, "p")
    assert not others.has("p"), "no key is made that nobody could use"
    others.key("p")
    with pytest.raises(KeyMismatch):
        open_pseudonyms(catalogue.projects, others, "p")
    open_pseudonyms(catalogue.projects, others, "q")
