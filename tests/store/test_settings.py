from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from slicebank_store.settings import StoreSettings


def test_everything_lies_below_the_data_folder(tmp_path: Path) -> None:
    settings = StoreSettings(data_dir=tmp_path)
    assert settings.resolved_data_dir == tmp_path
    assert settings.resolved_catalogue_url == f"sqlite:///{tmp_path}/catalogue.sqlite"
    assert settings.resolved_broker_url == f"redis+socket://{tmp_path}/broker.sock"
    assert settings.resolved_blobs_dir == tmp_path / "blobs"
    assert settings.resolved_staging_dir == tmp_path / "staging"
    assert settings.resolved_encoders_dir == tmp_path / "encoders"
    assert settings.resolved_keys_dir == tmp_path / "keys"


def test_what_is_given_wins(tmp_path: Path) -> None:
    settings = StoreSettings(
        data_dir=tmp_path, catalogue_url="postgresql+psycopg://h/d", broker_url="redis://h", blobs_dir=Path("/b")
    )
    assert settings.resolved_catalogue_url == "postgresql+psycopg://h/d"
    assert settings.resolved_broker_url == "redis://h"
    assert settings.resolved_blobs_dir == Path("/b")


def test_relative_folders_become_absolute() -> None:
    assert StoreSettings(data_dir=Path("data")).resolved_blobs_dir == Path.cwd() / "data" / "blobs"


def test_settings_do_not_change() -> None:
    settings = StoreSettings(data_dir=Path("/d"))
    with pytest.raises(ValidationError):
        settings.data_dir = Path("/e")  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert all(field.description for field in StoreSettings.model_fields.values())
