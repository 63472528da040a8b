"""Jobs tell their study; projects have policies; groups of jobs; uploads that are known by what their sender calls them.

Revision ID: 0003
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAMED = "study_uid IS NOT NULL"


def upgrade() -> None:
    """Adds a column, an index and tables; projects that exist keep UIDs and hash patients, as they always did."""
    op.add_column("jobs", sa.Column("study_uid", sa.String(length=128)))
    op.create_index(
        "ix_jobs_study",
        "jobs",
        ["project", "study_uid", "created_at", "job_id"],
        sqlite_where=sa.text(_NAMED),
        postgresql_where=sa.text(_NAMED),
    )
    projects = op.create_table(
        "projects",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("uid_policy", sa.String(length=16), nullable=False),
        sa.Column("patient_policy", sa.String(length=16), nullable=False),
        sa.Column("key_check", sa.String(length=64)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_projects"),
    )
    known = op.get_bind().execute(sa.text("SELECT DISTINCT project FROM series")).scalars().all()
    rows = [
        {"project": name, "uid_policy": "keep", "patient_policy": "hash", "created_at": time.time()} for name in known
    ]
    if rows:
        op.bulk_insert(projects, rows)
    op.create_table(
        "groups",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "group_id", name="pk_groups"),
        sa.UniqueConstraint("project", "key", name="uq_groups_project_key"),
    )
    op.create_index("ix_groups_page", "groups", ["project", "created_at", "group_id"])
    op.create_table(
        "group_jobs",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("case_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "group_id"],
            ["groups.project", "groups.group_id"],
            name="fk_group_jobs_groups",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "group_id", "case_number", "job_id", name="pk_group_jobs"),
    )
    op.create_table(
        "group_refusals",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("case_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "group_id"],
            ["groups.project", "groups.group_id"],
            name="fk_group_refusals_groups",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "group_id", "case_number", name="pk_group_refusals"),
    )
    op.create_table(
        "known_uploads",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("series_uid", sa.String(length=128), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stack", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "series_uid", "revision"],
            ["revisions.project", "revisions.series_uid", "revisions.revision"],
            name="fk_known_uploads_revisions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "digest", "series_uid", name="pk_known_uploads"),
    )
    op.create_index("ix_known_uploads_series", "known_uploads", ["project", "series_uid"])


def downgrade() -> None:
    """Takes them back."""
    for table in ("known_uploads", "group_refusals", "group_jobs", "groups", "projects"):
        op.drop_table(table)
    op.drop_index("ix_jobs_study", "jobs")
    op.drop_column("jobs", "study_uid")
