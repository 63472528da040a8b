"""Tables of the catalogue, in types that SQLite and PostgreSQL share.

`project` is in every table and leads every index but those of the workers, who look for jobs across projects. Each index says
which question it answers: lists walk theirs from the cursor on, newest first, so that a page costs the same in a catalogue of any
size. A change here needs a migration; a test compares the two, and another that no list reads or sorts a whole table.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

_ID = String(32)
_NAME = String(128)
_DIGEST = String(64)
# DICOM PS3.5 section 6.2: a UID has at most 64 characters; made-up and hashed ones fit too.
_UID = String(128)
_NULLABLE_JSON = JSON(none_as_null=True)

ACTIVE = text("state IN ('queued', 'running')")


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index over the rows that have a value; both databases use it for `column = value`."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


series = Table(
    "series",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("series_uid", _UID, primary_key=True),
    Column("study_uid", _UID, nullable=False),
    Column("patient", String(256), nullable=False),
    Column("body_part", String(64), nullable=False),
    Column("current_revision", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    # Series.list, without a filter and with each.
    Index("ix_series_page", "project", "created_at", "series_uid"),
    Index("ix_series_study", "project", "study_uid", "created_at", "series_uid"),
    Index("ix_series_patient", "project", "patient", "created_at", "series_uid"),
    Index("ix_series_body_part", "project", "body_part", "created_at", "series_uid"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("series_uid", _UID, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("n_slices", Integer, nullable=False),
    Column("default_stack", Integer, nullable=False),
    Column("options", JSON, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    ForeignKeyConstraint(["project", "series_uid"], ["series.project", "series.series_uid"], ondelete="CASCADE"),
)

stacks = Table(
    "stacks",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("series_uid", _UID, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("stack", Integer, primary_key=True, autoincrement=False),
    Column("content_digest", _DIGEST, nullable=False),
    Column("n_slices", Integer, nullable=False),
    # What a worker needs of each slice, and each slice's digest, both inferior to superior.
    Column("slices", JSON, nullable=False),
    Column("slice_digests", JSON, nullable=False),
    Column("geometry", JSON, nullable=False),
    Column("rescale", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("columns", Integer, nullable=False),
    Column("field_of_view_mm", Double, nullable=False),
    Column("axial", Boolean, nullable=False),
    Column("pixels_key", String(512)),
    ForeignKeyConstraint(
        ["project", "series_uid", "revision"],
        ["revisions.project", "revisions.series_uid", "revisions.revision"],
        ondelete="CASCADE",
    ),
)

bags = Table(
    "bags",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("bag_id", _ID, primary_key=True),
    Column("series_uid", _UID, nullable=False),
    Column("study_uid", _UID, nullable=False),
    Column("patient", String(256), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("stack", Integer, nullable=False),
    Column("encoder", _NAME, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("recipe_digest", _DIGEST, nullable=False),
    Column("weights_digest", _DIGEST, nullable=False),
    Column("content_digest", _DIGEST, nullable=False),
    Column("level", String(16), nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("n_slices", Integer, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("dtype", String(16), nullable=False),
    Column("windows", JSON, nullable=False),
    Column("sha256", _DIGEST, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob_key", String(512), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("skipped", JSON, nullable=False),
    ForeignKeyConstraint(
        ["project", "series_uid", "revision", "stack"],
        ["stacks.project", "stacks.series_uid", "stacks.revision", "stacks.stack"],
    ),
    # Bags.list, without a filter and with each. The series also serves Bags.current, deletions, and the reference to stacks;
    # study and patient also serve Bags.current of a cohort, and renaming.
    Index("ix_bags_page", "project", "created_at", "bag_id"),
    Index("ix_bags_series", "project", "series_uid", "created_at", "bag_id"),
    Index("ix_bags_study", "project", "study_uid", "created_at", "bag_id"),
    Index("ix_bags_patient", "project", "patient", "created_at", "bag_id"),
    Index("ix_bags_encoder", "project", "encoder", "created_at", "bag_id"),
    Index("ix_bags_recipe", "project", "recipe_digest", "created_at", "bag_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("job_id", _ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", String(16), nullable=False),
    # What the job makes; two unfinished jobs never have the same.
    Column("subject", String(256), nullable=False),
    Column("series_uid", _UID),
    # Of embed and import jobs: STOW and C-STORE name nothing else.
    Column("study_uid", _UID),
    Column("bag_id", _ID),
    Column("head_id", _ID),
    Column("prediction_id", _ID),
    Column("waits_for", _ID),
    Column("params", JSON, nullable=False),
    Column("staging", _ID),
    Column("progress_done", Integer, nullable=False),
    Column("progress_total", Integer),
    Column("progress_unit", String(32)),
    # The furthest any run has come: only going beyond it proves that lost leases were not the job's fault.
    Column("progress_best", Integer, nullable=False),
    Column("stages", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lost_leases", Integer, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("result", _NULLABLE_JSON),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("fence", Integer, nullable=False),
    Column("worker", String(256)),
    Column("lease_until", Double),
    Column("not_before", Double, nullable=False),
    Column("dispatched_at", Double),
    # Multiplies the wait until an unanswered message is sent again.
    Column("dispatch_factor", Integer, nullable=False),
    # Of the HTTP request that made the job: ties the worker's log lines to the API's.
    Column("request_id", _NAME),
    # Slices to do, where that is known when the job is made.
    Column("size", Integer),
    # Jobs.claim, manifest, and every word of a worker: they know the id alone.
    UniqueConstraint("job_id"),
    # Jobs.list, without a filter and with each, and by kind and state together, which also serves counts and recent speeds.
    Index("ix_jobs_page", "project", "created_at", "job_id"),
    Index("ix_jobs_state", "project", "state", "created_at", "job_id"),
    Index("ix_jobs_kind", "project", "kind", "created_at", "job_id"),
    Index("ix_jobs_kind_state", "project", "kind", "state", "created_at", "job_id"),
    Index("ix_jobs_series", "project", "series_uid", "created_at", "job_id"),
    # Jobs.list of a study.
    _partial("ix_jobs_study", "project", "study_uid", "created_at", "job_id", where="study_uid IS NOT NULL"),
    # Jobs.active_for_bag, latest_for_bag, and deleting a bag.
    Index("ix_jobs_bag", "project", "bag_id", "created_at"),
    # Jobs.latest_for_prediction.
    _partial("ix_jobs_prediction", "project", "prediction_id", "created_at", where="prediction_id IS NOT NULL"),
    # Deleting a head, and which job trained it.
    _partial("ix_jobs_head", "project", "head_id", where="head_id IS NOT NULL"),
    # Jobs.staging_needed.
    _partial("ix_jobs_staging", "project", "staging", where="staging IS NOT NULL"),
    # Whether an upload's work is done or under way (new.active_twin, planning).
    Index("ix_jobs_subject", "project", "subject", "created_at"),
    # Of two who make the same job at once one is refused.
    Index("uq_jobs_active_subject", "project", "subject", unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE),
    # Jobs.claim_next at the head of a kind and priority; sweeps, queue depth and running jobs by state. Not partial: SQLite does not
    # see that a queued job is an active one.
    Index("ix_jobs_work", "state", "kind", "priority", "created_at", "job_id"),
    # Jobs that wait for one that ends.
    _partial("ix_jobs_waiting", "waits_for", where="waits_for IS NOT NULL"),
)

manifests = Table(
    "manifests",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("job_id", _ID, primary_key=True),
    Column("manifest", JSON, nullable=False),
    ForeignKeyConstraint(["project", "job_id"], ["jobs.project", "jobs.job_id"], ondelete="CASCADE"),
)

_PROMOTED = text("promoted")

heads = Table(
    "heads",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("head_id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("promoted", Boolean, nullable=False),
    Column("encoder", _NAME, nullable=False),
    Column("level", String(16), nullable=False),
    Column("dim", Integer, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("recipe_digest", _DIGEST, nullable=False),
    Column("task", JSON, nullable=False),
    Column("training", JSON, nullable=False),
    Column("metrics", _NULLABLE_JSON),
    Column("blob_key", String(512)),
    Column("sha256", _DIGEST),
    Column("size_bytes", BigInteger),
    Column("job_id", _ID, nullable=False),
    Column("n_cases", Integer, nullable=False),
    Column("training_data_deleted", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    # Architecture, and how it was judged; `training` holds the other settings.
    Column("head", _NULLABLE_JSON),
    Column("protocol", _NULLABLE_JSON),
    # Heads.versions and resolve.
    UniqueConstraint("project", "name", "version"),
    # A name means one version.
    Index("uq_heads_promoted", "project", "name", unique=True, sqlite_where=_PROMOTED, postgresql_where=_PROMOTED),
    # Heads.list, without a filter and with each.
    Index("ix_heads_page", "project", "created_at", "head_id"),
    Index("ix_heads_name", "project", "name", "created_at", "head_id"),
    Index("ix_heads_encoder", "project", "encoder", "created_at", "head_id"),
    Index("ix_heads_state", "project", "state", "created_at", "head_id"),
    Index("ix_heads_is_promoted", "project", "promoted", "created_at", "head_id"),
)

head_reports = Table(
    "head_reports",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("head_id", _ID, primary_key=True),
    Column("report", JSON, nullable=False),
    ForeignKeyConstraint(["project", "head_id"], ["heads.project", "heads.head_id"], ondelete="CASCADE"),
)

# No reference to series: a head must outlive the series it learnt from.
head_series = Table(
    "head_series",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("head_id", _ID, primary_key=True),
    Column("series_uid", _UID, primary_key=True),
    Column("patient", String(256)),
    # train | test: of those held out for testing nothing was learnt.
    Column("part", String(16)),
    ForeignKeyConstraint(["project", "head_id"], ["heads.project", "heads.head_id"], ondelete="CASCADE"),
    # Heads that learnt from a deleted series.
    Index("ix_head_series_series", "project", "series_uid"),
    # Whether a head has seen a patient.
    Index("ix_head_series_patient", "project", "head_id", "patient"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("prediction_id", _ID, primary_key=True),
    Column("head_id", _ID, nullable=False),
    Column("bag_id", _ID, nullable=False),
    Column("series_uid", _UID, nullable=False),
    Column("study_uid", _UID, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("attention", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    # Beside `outputs` and `attention`: rule, in_training, series.
    Column("about", _NULLABLE_JSON),
    ForeignKeyConstraint(["project", "head_id"], ["heads.project", "heads.head_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["project", "bag_id"], ["bags.project", "bags.bag_id"], ondelete="CASCADE"),
    # Deleting a head or a bag.
    Index("ix_predictions_head", "project", "head_id"),
    Index("ix_predictions_bag", "project", "bag_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("project", _NAME, primary_key=True),
    # keep | hash; fixed for good, because what is stored cannot be named another way.
    Column("uid_policy", String(16), nullable=False),
    Column("patient_policy", String(16), nullable=False),
    # Tells the pseudonym key from others, and nothing about it; null until the key is first used.
    Column("key_check", _DIGEST),
    Column("created_at", Double, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("group_id", _ID, primary_key=True),
    # What the sender calls the cohort, so that submitting it again goes on with it; a digest, never a name.
    Column("key", _DIGEST, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("project", "key"),
    # Groups.list.
    Index("ix_groups_page", "project", "created_at", "group_id"),
)

# No reference to jobs: a group tells of what was deleted, too.
group_jobs = Table(
    "group_jobs",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("group_id", _ID, primary_key=True),
    Column("case_number", Integer, primary_key=True, autoincrement=False),
    Column("job_id", _ID, primary_key=True),
    ForeignKeyConstraint(["project", "group_id"], ["groups.project", "groups.group_id"], ondelete="CASCADE"),
)

# Cases of a group of which nothing could be taken.
group_refusals = Table(
    "group_refusals",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("group_id", _ID, primary_key=True),
    Column("case_number", Integer, primary_key=True, autoincrement=False),
    Column("code", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    ForeignKeyConstraint(["project", "group_id"], ["groups.project", "groups.group_id"], ondelete="CASCADE"),
)

# What senders call uploads that were taken in, so that they need not send them again.
known_uploads = Table(
    "known_uploads",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Column("series_uid", _UID, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("stack", Integer, nullable=False),
    ForeignKeyConstraint(
        ["project", "series_uid", "revision"],
        ["revisions.project", "revisions.series_uid", "revisions.revision"],
        ondelete="CASCADE",
    ),
    # Deleting a series.
    Index("ix_known_uploads_series", "project", "series_uid"),
)

# Blobs whose rows are deleted, until they are deleted too. No reference: what named them is gone.
doomed_blobs = Table(
    "doomed_blobs",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("blob_key", String(512), primary_key=True),
    Column("created_at", Double, nullable=False),
)
