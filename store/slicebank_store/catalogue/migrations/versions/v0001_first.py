"""The first schema: series, bags, jobs, heads, predictions.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ACTIVE = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    """Makes every table."""
    _studies()
    _jobs()
    _answers()


def downgrade() -> None:
    """Removes every table."""
    for table in (
        "predictions",
        "head_series",
        "head_reports",
        "heads",
        "manifests",
        "jobs",
        "bags",
        "stacks",
        "revisions",
        "series",
    ):
        op.drop_table(table)


def _studies() -> None:
    op.create_table(
        "series",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("study_uid", sa.String(length=128), nullable=False),
        sa.Column("patient", sa.String(length=256), nullable=False),
        sa.Column("body_part", sa.String(length=64), nullable=False),
        sa.Column("current_revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "series_uid", name="pk_series"),
    )
    op.create_index("ix_series_page", "series", ["project", "created_at", "series_uid"])
    op.create_index("ix_series_patient", "series", ["project", "patient"])
    op.create_index("ix_series_study", "series", ["project", "study_uid"])
    op.create_table(
        "revisions",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n_slices", sa.Integer(), nullable=False),
        sa.Column("default_stack", sa.Integer(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "series_uid"],
            ["series.project", "series.series_uid"],
            name="fk_revisions_series",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "series_uid", "revision", name="pk_revisions"),
    )
    op.create_table(
        "stacks",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stack", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("n_slices", sa.Integer(), nullable=False),
        sa.Column("slices", sa.JSON(), nullable=False),
        sa.Column("slice_digests", sa.JSON(), nullable=False),
        sa.Column("geometry", sa.JSON(), nullable=False),
        sa.Column("rescale", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("field_of_view_mm", sa.Double(), nullable=False),
        sa.Column("axial", sa.Boolean(), nullable=False),
        sa.Column("pixels_key", sa.String(length=512)),
        sa.ForeignKeyConstraint(
            ["project", "series_uid", "revision"],
            ["revisions.project", "revisions.series_uid", "revisions.revision"],
            name="fk_stacks_revisions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "series_uid", "revision", "stack", name="pk_stacks"),
    )
    op.create_table(
        "bags",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("bag_id", sa.String(length=32), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("study_uid", sa.String(length=128), nullable=False),
        sa.Column("patient", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stack", sa.Integer(), nullable=False),
        sa.Column("encoder", sa.String(length=128), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("recipe_digest", sa.String(length=64), nullable=False),
        sa.Column("weights_digest", sa.String(length=64), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("n_slices", sa.Integer(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("windows", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob_key", sa.String(length=512), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("skipped", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "series_uid", "revision", "stack"],
            ["stacks.project", "stacks.series_uid", "stacks.revision", "stacks.stack"],
            name="fk_bags_stacks",
        ),
        sa.PrimaryKeyConstraint("project", "bag_id", name="pk_bags"),
    )
    op.create_index("ix_bags_encoder", "bags", ["project", "encoder", "created_at", "bag_id"])
    op.create_index("ix_bags_study", "bags", ["project", "study_uid"])
    op.create_index("ix_bags_patient", "bags", ["project", "patient"])
    op.create_index("ix_bags_page", "bags", ["project", "created_at", "bag_id"])
    op.create_index("ix_bags_series", "bags", ["project", "series_uid", "created_at", "bag_id"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("series_uid", sa.String(length=128)),
        sa.Column("bag_id", sa.String(length=32)),
        sa.Column("head_id", sa.String(length=32)),
        sa.Column("prediction_id", sa.String(length=32)),
        sa.Column("waits_for", sa.String(length=32)),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("staging", sa.String(length=32)),
        sa.Column("progress_done", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer()),
        sa.Column("progress_unit", sa.String(length=32)),
        sa.Column("progress_best", sa.Integer(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("error_detail", sa.Text()),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=256)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("dispatched_at", sa.Double()),
        sa.Column("dispatch_factor", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "job_id", name="pk_jobs"),
        sa.UniqueConstraint("job_id", name="uq_jobs_job_id"),
    )
    op.create_index("ix_jobs_bag", "jobs", ["project", "bag_id"])
    op.create_index("ix_jobs_page", "jobs", ["project", "created_at", "job_id"])
    op.create_index("ix_jobs_series", "jobs", ["project", "series_uid"])
    op.create_index("ix_jobs_staging", "jobs", ["project", "staging"])
    op.create_index("ix_jobs_state", "jobs", ["project", "state", "created_at", "job_id"])
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["waits_for"],
        sqlite_where=sa.text("waits_for IS NOT NULL"),
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_work",
        "jobs",
        ["state", "kind", "priority", "created_at"],
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_index(
        "uq_jobs_active_subject",
        "jobs",
        ["project", "subject"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_table(
        "manifests",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "job_id"], ["jobs.project", "jobs.job_id"], name="fk_manifests_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "job_id", name="pk_manifests"),
    )


def _answers() -> None:
    op.create_table(
        "heads",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("encoder", sa.String(length=128), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("recipe_digest", sa.String(length=64), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("training", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(none_as_null=True)),
        sa.Column("blob_key", sa.String(length=512)),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("n_cases", sa.Integer(), nullable=False),
        sa.Column("training_data_deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.PrimaryKeyConstraint("project", "head_id", name="pk_heads"),
        sa.UniqueConstraint("project", "name", "version", name="uq_heads_project_name_version"),
    )
    op.create_index("ix_heads_page", "heads", ["project", "created_at", "head_id"])
    op.create_index(
        "uq_heads_promoted",
        "heads",
        ["project", "name"],
        unique=True,
        sqlite_where=sa.text("promoted"),
        postgresql_where=sa.text("promoted"),
    )
    op.create_table(
        "head_reports",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "head_id"], ["heads.project", "heads.head_id"], name="fk_head_reports_heads", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "head_id", name="pk_head_reports"),
    )
    op.create_table(
        "head_series",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "head_id"], ["heads.project", "heads.head_id"], name="fk_head_series_heads", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "head_id", "series_uid", name="pk_head_series"),
    )
    op.create_index("ix_head_series_series", "head_series", ["project", "series_uid"])
    op.create_table(
        "predictions",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("prediction_id", sa.String(length=32), nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("bag_id", sa.String(length=32), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("study_uid", sa.String(length=128), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("attention", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "bag_id"], ["bags.project", "bags.bag_id"], name="fk_predictions_bags", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project", "head_id"], ["heads.project", "heads.head_id"], name="fk_predictions_heads", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "prediction_id", name="pk_predictions"),
    )
    op.create_index("ix_predictions_bag", "predictions", ["project", "bag_id"])
    op.create_index("ix_predictions_head", "predictions", ["project", "head_id"])
