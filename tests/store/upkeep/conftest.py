"""A blob folder beside the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicebank_store.blobs import DirectoryBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")
