from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from slicebank_service.dicom_network.settings import ListenerSettings


def test_lists_are_separated_by_commas() -> None:
    settings = ListenerSettings(listen_calling_aets="CT1, ARCHIVE 2,", listen_peers="192.0.2.7, 10.1.0.0/16")
    assert settings.calling_aets == {"CT1", "ARCHIVE 2"}
    assert [str(network) for network in settings.peers] == ["192.0.2.7/32", "10.1.0.0/16"]
    assert ListenerSettings().calling_aets == frozenset()
    assert ListenerSettings().listen_port is None


@pytest.mark.parametrize(
    "given",
    [
        {"listen_aet": ""},
        {"listen_aet": "A TITLE THAT IS TOO LONG"},
        {"listen_aet": "back\\slash"},
        {"listen_calling_aets": "GOOD,ümlaut"},
        {"listen_peers": "pacs.example.org"},
        {"listen_tls_certificate": Path("cert.pem")},
        {"listen_tls_ca": Path("ca.pem")},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ListenerSettings(**given)  # type: ignore[arg-type]
