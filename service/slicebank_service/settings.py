"""What the API process can be told, from the environment (prefix `SLICEBANK_`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_store.pseudonyms import PatientPolicy, UidPolicy
from slicebank_store.settings import GIBIBYTE, MEBIBYTE, UploadSettings


class ServiceSettings(UploadSettings):
    """Settings of one API process. Each limit says beside it why it is what it is."""

    host: str = Field("127.0.0.1", description="Address to listen on; the default is this machine alone.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    api_key: SecretStr | None = Field(None, description="The key every request carries as `Authorization: Bearer KEY`.")
    admin_key: SecretStr | None = Field(
        None,
        description="The key of administrators, who may also pull, verify and remove encoders; default: the API key is theirs too.",
    )
    hub_pulls: bool = Field(
        True,
        description="Whether administrators may pull any model of the hub or of timm; published encoders they may always.",
    )
    project: str = Field("default", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", description="Project the key opens.")
    uid_policy: UidPolicy | None = Field(
        None,
        description="`keep` UIDs, or `hash` them with the project's key; fixed when the project is made, `keep` where nothing is said.",
    )
    patient_policy: PatientPolicy | None = Field(
        None,
        description="`hash` PatientIDs with the project's key, or `keep` them; fixed when the project is made, `hash` where nothing is said.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    embed_workers: int = Field(
        1,
        ge=1,
        description="Embed worker processes that `slicebank serve` starts. One uses all devices; several may share a GPU that "
        "one process cannot feed, because Python reads headers on one core at a time.",
    )
    max_open_uploads: int = Field(
        64,
        ge=1,
        description="Resumable uploads of the project that may be open at once; each holds its bytes in staging.",
    )
    quiet_seconds: float = Field(
        30.0,
        gt=0,
        le=100,
        description="A study that comes by STOW-RS or C-STORE is taken in when nothing of it has come for so long; scanners and PACS "
        "pause for seconds between series.",
    )
    intake_encoder: str = Field(
        DEFAULT_ENCODER,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Encoder of studies that come by STOW-RS or C-STORE, which cannot name one.",
    )
    intake_retain: bool = Field(False, description="Whether the pixels of those studies are kept.")
    max_foreign_bag_bytes: int = Field(
        512 * MEBIBYTE,
        ge=1,
        description="Bytes of a bag made elsewhere, as it comes and as float32; a whole-slide image of 100,000 rows of 1,024 numbers has 410 MB.",
    )
    max_json_bytes: int = Field(
        32 * MEBIBYTE,
        ge=1,
        description="Bytes of any other body; labels of 100,000 studies with 20 columns stay below it.",
    )
    max_label_rows: int = Field(
        200_000, ge=1, description="Rows of one labels table; more than any one centre's CT archive of a year."
    )
    intake_threads: int = Field(
        4, ge=1, description="Uploads whose headers are read side by side; more would only wait for the same disk."
    )
    max_wait_seconds: float = Field(
        120.0, gt=0, description="Longest wait one request may ask for; proxies cut silent requests after minutes."
    )
    prediction_wait_seconds: float = Field(
        20.0,
        gt=0,
        description="How long a prediction from a stored bag is waited for before the answer is its job; it takes milliseconds.",
    )
    poll_seconds: float = Field(
        2.0,
        gt=0,
        description="How often a waiting request looks for itself while the broker, which tells of news, is away.",
    )
    connected_poll_seconds: float = Field(
        15.0,
        gt=0,
        description="The same while the broker is there: hundreds may wait, news wake them at once, and one is lost only with its sender.",
    )
    max_queued_jobs: int = Field(
        20_000,
        ge=1,
        description="Queued jobs of the project, embed and import together and train apart, beyond which new ones are refused; "
        "several cohorts of 5,000 series, and few enough to be counted and placed in milliseconds.",
    )
    max_staging_bytes: int = Field(
        256 * GIBIBYTE,
        ge=1,
        description="Bytes of the project's uploads in staging beyond which new ones are refused; 2,000 thin series of 130 MB, "
        "hours of work for a GPU: more would only be stored twice.",
    )
    min_free_bytes: int = Field(
        GIBIBYTE,
        ge=0,
        description="What uploads leave free on the disks of staging and of a blob folder; jobs that run may still keep the pixels "
        "of a 2,000-slice series, 1 GiB, and catalogue and broker can write.",
    )
    staging_sweep_seconds: float = Field(3600.0, gt=0, description="How often leftovers of uploads are looked for.")
    staging_orphan_seconds: float = Field(
        7200.0,
        gt=0,
        description="An upload that no job names and that stood still for so long has lost its request; more than the hour by which "
        "clocks are set wrongly most often.",
    )
