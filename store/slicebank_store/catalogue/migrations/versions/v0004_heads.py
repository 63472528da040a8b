"""Heads have an architecture, a protocol and a history of promotions; they answer about several bags and every new one, and are evaluated.

Revision ID: 0004
"""

from __future__ import annotations

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What every head was until now: the published one, not calibrated, without intervals.
_HEAD = {"architecture": "abmil", "width": 256, "dropout": 0.5}
_PROTOCOL = {"validation": "cross_validation", "pooling": "largest", "calibration": "none", "bootstrap": 0}


def upgrade() -> None:
    """Adds columns, filled for what is there, and tables."""
    for table, name in (("heads", "head"), ("heads", "protocol"), ("predictions", "about")):
        op.add_column(table, sa.Column(name, sa.JSON()))
    op.add_column("head_series", sa.Column("patient", sa.String(length=256)))
    op.add_column("head_series", sa.Column("part", sa.String(length=16)))
    op.create_index("ix_head_series_patient", "head_series", ["project", "head_id", "patient"])
    _create_tables()
    _fill(op.get_bind())


def downgrade() -> None:
    """Takes them back."""
    for table in ("evaluations", "prediction_bags", "on_embedded", "head_promotions"):
        op.drop_table(table)
    op.drop_index("ix_head_series_patient", "head_series")
    for table, name in (
        ("head_series", "part"),
        ("head_series", "patient"),
        ("predictions", "about"),
        ("heads", "protocol"),
        ("heads", "head"),
    ):
        op.drop_column(table, name)


def _create_tables() -> None:
    op.create_table(
        "head_promotions",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("back_to", sa.Integer()),
        sa.Column("promoted_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", "number", name="pk_head_promotions"),
    )
    op.create_table(
        "on_embedded",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("head", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "head", name="pk_on_embedded"),
    )
    op.create_table(
        "prediction_bags",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("prediction_id", sa.String(length=32), nullable=False),
        sa.Column("bag_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "prediction_id"],
            ["predictions.project", "predictions.prediction_id"],
            name="fk_prediction_bags_predictions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "prediction_id", "bag_id", name="pk_prediction_bags"),
    )
    op.create_index("ix_prediction_bags_bag", "prediction_bags", ["project", "bag_id"])
    op.create_table(
        "evaluations",
        sa.Column("project", sa.String(length=128), nullable=False),
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("head_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("n_cases", sa.Integer(), nullable=False),
        sa.Column("leakage", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.ForeignKeyConstraint(
            ["project", "head_id"], ["heads.project", "heads.head_id"], name="fk_evaluations_heads", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "evaluation_id", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_head", "evaluations", ["project", "head_id", "created_at", "evaluation_id"])


def _fill(connection: sa.Connection) -> None:
    heads = sa.table("heads", sa.column("head", sa.JSON()), sa.column("protocol", sa.JSON()))
    connection.execute(heads.update().values(head=_HEAD, protocol=_PROTOCOL))
    # Who the series belong to that heads have seen; of those deleted since nobody knows.
    connection.execute(
        sa.text(
            "UPDATE head_series SET patient = (SELECT series.patient FROM series WHERE series.project = head_series.project "
            "AND series.series_uid = head_series.series_uid), part = 'train'"
        )
    )
    _note_test_parts(connection)
    connection.execute(
        sa.text(
            "INSERT INTO head_promotions (project, name, number, head_id, version, reason, back_to, promoted_at) "
            "SELECT project, name, 1, head_id, version, 'promoted', NULL, :now FROM heads WHERE promoted"
        ),
        {"now": time.time()},
    )


def _note_test_parts(connection: sa.Connection) -> None:
    """Of patients that were held out for testing nothing was learnt; the reports name them."""
    found = connection.execute(sa.text("SELECT project, head_id FROM head_reports")).all()
    for project, head_id in found:
        which = {"project": project, "head_id": head_id}
        query = sa.text("SELECT report FROM head_reports WHERE project = :project AND head_id = :head_id")
        stored = connection.execute(query, which).scalar_one()
        report = json.loads(stored) if isinstance(stored, str) else stored
        patients = (report.get("splits") or {}).get("test") or []
        update = sa.text(
            "UPDATE head_series SET part = 'test' WHERE project = :project AND head_id = :head_id AND patient = :patient"
        )
        for patient in patients:
            connection.execute(update, {**which, "patient": patient})
