"""Tables of what heads do once they are trained, beside `tables.py` and under its rules."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
)

from slicebank_store.catalogue.tables import metadata

__all__ = ["evaluations", "head_promotions", "metadata", "on_embedded", "prediction_bags"]

_ID = String(32)
_NAME = String(128)

# What a name meant, and when; the newest row says what it means. No reference to heads: the history outlives them.
head_promotions = Table(
    "head_promotions",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("name", _NAME, primary_key=True),
    # Counts from 1 within a name.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("head_id", _ID, nullable=False),
    Column("version", Integer, nullable=False),
    # trained | promoted | rolled_back | deleted: what made the name mean this version.
    Column("reason", String(16), nullable=False),
    # The row that rolling back returns to.
    Column("back_to", Integer),
    Column("promoted_at", Double, nullable=False),
)

# Heads that answer about every new bag of their recipe: by name, which means its promoted version then, or by id.
on_embedded = Table(
    "on_embedded",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("head", _NAME, primary_key=True),
    Column("created_at", Double, nullable=False),
)

# The bags of a prediction about several; one about a single bag has no row here.
prediction_bags = Table(
    "prediction_bags",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("prediction_id", _ID, primary_key=True),
    Column("bag_id", _ID, primary_key=True),
    ForeignKeyConstraint(
        ["project", "prediction_id"], ["predictions.project", "predictions.prediction_id"], ondelete="CASCADE"
    ),
    # Deleting a bag.
    Index("ix_prediction_bags_bag", "project", "bag_id"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("project", _NAME, primary_key=True),
    Column("evaluation_id", _ID, primary_key=True),
    Column("head_id", _ID, nullable=False),
    Column("job_id", _ID, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("n_cases", Integer, nullable=False),
    Column("leakage", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    ForeignKeyConstraint(["project", "head_id"], ["heads.project", "heads.head_id"], ondelete="CASCADE"),
    # Evaluations.list, and deleting a head.
    Index("ix_evaluations_head", "project", "head_id", "created_at", "evaluation_id"),
)
