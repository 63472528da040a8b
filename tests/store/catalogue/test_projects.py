from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import PolicyFixed
from slicebank_store.pseudonyms import PatientPolicy, Policies, UidPolicy


def test_a_project_keeps_the_policies_it_was_made_with(catalogue: Catalogue) -> None:
    assert catalogue.projects.policies("p") == Policies()
    made = catalogue.projects.settle("p", uids=UidPolicy.HASH)
    assert made == Policies(UidPolicy.HASH, PatientPolicy.HASH)
    assert catalogue.projects.settle("p") == catalogue.projects.policies("p") == made
    assert catalogue.projects.settle("p", uids=UidPolicy.HASH, patients=PatientPolicy.HASH) == made


def test_another_policy_is_refused_with_what_to_do(catalogue: Catalogue) -> None:
    catalogue.projects.settle("p")
    with pytest.raises(PolicyFixed, match="set SLICEBANK_UID_POLICY=keep, or choose another SLICEBANK_PROJECT"):
        catalogue.projects.settle("p", uids=UidPolicy.HASH)
    with pytest.raises(PolicyFixed, match="SLICEBANK_PATIENT_POLICY=hash"):
        catalogue.projects.settle("p", patients=PatientPolicy.KEEP)
    assert catalogue.projects.settle("q", uids=UidPolicy.HASH).uids is UidPolicy.HASH, "another project is free"
