"""What every process of slicebank must know to find the store, from the environment (prefix `SLICEBANK_`)."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


class StoreSettings(BaseSettings):
    """Where things are kept. What is not set lies below `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="SLICEBANK_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("slicebank"),
        description="Folder below which everything is kept by default.",
    )
    catalogue_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the catalogue; default: catalogue.sqlite in the data folder.",
    )
    broker_url: str | None = Field(
        default=None,
        description="redis:// or redis+socket:// URL of the broker; default: broker.sock in the data folder.",
    )
    blobs_dir: Path | None = Field(
        default=None, description="Folder of bags, heads and kept pixels; default: blobs in the data folder."
    )
    blobs_url: str | None = Field(
        default=None,
        pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9](/[A-Za-z0-9][A-Za-z0-9._-]{0,127})*/?$",
        description="s3://bucket/prefix where bags, heads and kept pixels are kept; default: the blob folder.",
    )
    s3_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of the S3 service; an http:// address is taken at its word and not encrypted. "
        "Default: Amazon's of the region.",
    )
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_access_key_id: str | None = Field(
        default=None, description="Key id for S3; default: AWS's own variables, or the role of the machine or pod."
    )
    s3_secret_access_key: SecretStr | None = Field(default=None, description="Secret of that key id.")
    staging_dir: Path | None = Field(
        default=None, description="Folder of uploads not yet embedded; default: staging in the data folder."
    )
    scratch_dir: Path | None = Field(
        default=None,
        description="Folder of files in the making, on a disk of this machine; default: scratch in the data folder.",
    )
    staging_ttl_seconds: float = Field(
        default=86_400.0, gt=0, description="How long the files of a failed job are kept, so that it can be retried."
    )
    encoders_dir: Path | None = Field(
        default=None, description="Folder of registered encoders; default: encoders in the data folder."
    )
    hub_endpoint: str | None = Field(
        default=None,
        pattern=r"^(https?://[^/].*|file:///.+|[/~].*)$",
        description="Where published weights are pulled from: address of a hub, or folder that mirrors repositories; default: HF_ENDPOINT, or "
        "huggingface.co.",
    )
    offline: bool = Field(
        default=False, description="Contact no hub, ever; a folder of mirrored repositories may still be read."
    )
    keys_dir: Path | None = Field(
        default=None,
        description="Folder of the projects' pseudonym keys, to be backed up apart from the catalogue; "
        "default: keys in the data folder.",
    )

    @property
    def resolved_data_dir(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def resolved_catalogue_url(self) -> str:
        """The catalogue's URL."""
        return self.catalogue_url or f"sqlite:///{self.resolved_data_dir / 'catalogue.sqlite'}"

    @property
    def resolved_broker_url(self) -> str:
        """The broker's URL."""
        return self.broker_url or f"redis+socket://{self.resolved_data_dir / 'broker.sock'}"

    @property
    def resolved_blobs_dir(self) -> Path:
        """The folder of bags, heads and kept pixels, absolute."""
        return self._below(self.blobs_dir, "blobs")

    @property
    def resolved_staging_dir(self) -> Path:
        """The folder of uploads, absolute."""
        return self._below(self.staging_dir, "staging")

    @property
    def resolved_scratch_dir(self) -> Path:
        """The folder of files in the making, absolute."""
        return self._below(self.scratch_dir, "scratch")

    @property
    def resolved_encoders_dir(self) -> Path:
        """The folder of registered encoders, absolute."""
        return self._below(self.encoders_dir, "encoders")

    @property
    def resolved_keys_dir(self) -> Path:
        """The folder of pseudonym keys, absolute."""
        return self._below(self.keys_dir, "keys")

    def _below(self, given: Path | None, name: str) -> Path:
        return given.expanduser().absolute() if given is not None else self.resolved_data_dir / name


class UploadSettings(StoreSettings):
    """Also how much one upload or one pulled study may bring, for the processes that take some in. Each says why it is what it is."""

    max_upload_bytes: int = Field(
        8 * GIBIBYTE,
        ge=1,
        description="Bytes of one upload as sent; a 2,000-slice thin CT uncompressed is 1 GiB, a study a few of them.",
    )
    max_upload_files: int = Field(
        50_000,
        ge=1,
        description="Files of one upload, archive members included; the largest studies hold some 10,000 slices.",
    )
    max_inflated_bytes: int = Field(
        32 * GIBIBYTE,
        ge=1,
        description="Bytes of one upload after unpacking; CT shrinks by 2 to 4 in archives, a bomb by 1,000.",
    )
    max_archive_ratio: float = Field(
        200.0, gt=1, description="Unpacked to packed bytes of one archive; CT reaches 4, discs of empty slices 100."
    )
    max_archive_depth: int = Field(
        3, ge=1, description="Archives within archives; a disc inside a zip inside a tar is the most that people send."
    )
    max_file_pixels: int = Field(
        4 * 2**30,
        ge=1,
        description="Rows x columns x frames of one file; 4,096 frames of 1,024 x 1,024, twice the longest reconstructions.",
    )
    max_series_slices: int = Field(
        10_000, ge=1, description="Slices of one series; a beating heart of 20 phases of 320 slices makes 6,400."
    )
    pacs: SecretStr | None = Field(
        default=None,
        description="PACS that imports may name, as a JSON object: name to where it is and how it is asked.",
    )
    pacs_file: Path | None = Field(
        default=None, description="The same as a TOML file with a table a PACS, readable by this user alone; not both."
    )
