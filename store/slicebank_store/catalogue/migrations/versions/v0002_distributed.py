"""Jobs tell the request that made them and how much there is to do; lists have indexes in their order; blobs to delete are noted.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Indexes = dict[str, tuple[tuple[str, tuple[str, ...], str | None], ...]]

_ACTIVE = "state IN ('queued', 'running')"

# By table: name, columns, and the condition of a partial index. What had the name before is removed first.
_INDEXES: _Indexes = {
    "series": (
        ("ix_series_study", ("project", "study_uid", "created_at", "series_uid"), None),
        ("ix_series_patient", ("project", "patient", "created_at", "series_uid"), None),
        ("ix_series_body_part", ("project", "body_part", "created_at", "series_uid"), None),
    ),
    "bags": (
        ("ix_bags_study", ("project", "study_uid", "created_at", "bag_id"), None),
        ("ix_bags_patient", ("project", "patient", "created_at", "bag_id"), None),
        ("ix_bags_recipe", ("project", "recipe_digest", "created_at", "bag_id"), None),
    ),
    "jobs": (
        ("ix_jobs_kind", ("project", "kind", "created_at", "job_id"), None),
        ("ix_jobs_kind_state", ("project", "kind", "state", "created_at", "job_id"), None),
        ("ix_jobs_series", ("project", "series_uid", "created_at", "job_id"), None),
        ("ix_jobs_bag", ("project", "bag_id", "created_at"), None),
        ("ix_jobs_prediction", ("project", "prediction_id", "created_at"), "prediction_id IS NOT NULL"),
        ("ix_jobs_head", ("project", "head_id"), "head_id IS NOT NULL"),
        ("ix_jobs_staging", ("project", "staging"), "staging IS NOT NULL"),
        ("ix_jobs_subject", ("project", "subject", "created_at"), None),
        ("ix_jobs_work", ("state", "kind", "priority", "created_at", "job_id"), None),
    ),
    "heads": (
        ("ix_heads_name", ("project", "name", "created_at", "head_id"), None),
        ("ix_heads_encoder", ("project", "encoder", "created_at", "head_id"), None),
        ("ix_heads_state", ("project", "state", "created_at", "head_id"), None),
        ("ix_heads_is_promoted", ("project", "promoted", "created_at", "head_id"), None),
    ),
}
_BEFORE: _Indexes = {
    "series": (
        ("ix_series_study", ("project", "study_uid"), None),
        ("ix_series_patient", ("project", "patient"), None),
    ),
    "bags": (
        ("ix_bags_study", ("project", "study_uid"), None),
        ("ix_bags_patient", ("project", "patient"), None),
    ),
    "jobs": (
        ("ix_jobs_series", ("project", "series_uid"), None),
        ("ix_jobs_bag", ("project", "bag_id"), None),
        ("ix_jobs_staging", ("project", "staging"), None),
        ("ix_jobs_work", ("state", "kind", "priority", "created_at"), _ACTIVE),
    ),
}


def upgrade() -> None:
    """Adds a table, columns and indexes; rows written before have none of the columns."""
    op.add_column("jobs", sa.Column("request_id", sa.String(length=128)))
    op.add_column("jobs", sa.Column("size", sa.Integer()))
    _replace(_BEFORE, _INDEXES)
    op.create_table(
        "doomed_blobs",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("blob_key", sa.String(length=512), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "blob_key", name="pk_doomed_blobs"),
    )


def downgrade() -> None:
    """Takes them back."""
    op.drop_table("doomed_blobs")
    _replace(_INDEXES, _BEFORE)
    op.drop_column("jobs", "size")
    op.drop_column("jobs", "request_id")


def _replace(
    old: _Indexes,
    new: _Indexes,
) -> None:
    for table, indexes in old.items():
        for name, _, _ in indexes:
            op.drop_index(name, table)
    for table, indexes in new.items():
        for name, columns, condition in indexes:
            where = None if condition is None else sa.text(condition)
            op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where)
