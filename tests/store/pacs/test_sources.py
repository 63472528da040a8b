from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import certifi
import pytest
from pydantic import SecretStr

from slicebank_store.errors import BadSources
from slicebank_store.pacs.client import open_client
from slicebank_store.pacs.sources import Sources, load_sources
from slicebank_store.settings import UploadSettings


def loaded(**source: Any) -> Sources:
    archive = {"kind": "dicomweb", "url": "https://pacs.example/dicom-web", **source}
    return load_sources(UploadSettings(pacs=SecretStr(json.dumps({"archive": archive}))))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"token": "SECRET\nHost: elsewhere"}, "plain ASCII"),
        ({"token": "SECRÉT"}, "plain ASCII"),
        ({"headers": {"X-Key": "SECRET\r\n"}}, "plain ASCII"),
        ({"verify": "/nowhere/SECRET.pem"}, "certificates"),
    ],
)
def test_what_could_not_be_used_is_said_at_the_start_without_its_value(source: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSources, match=sentence) as refused:
        loaded(**source)
    assert "SECR" not in str(refused.value)


def test_certificates_of_ones_own_authority_serve(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(Path(certifi.where()).read_bytes())
    with open_client("archive", loaded(verify=str(own)).get("archive")):
        pass
