"""Predictions: answers of head versions about bags."""

from __future__ import annotations

from sqlalchemy import select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.records import PredictionRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import predictions


class Predictions:
    """Predictions of all projects. Jobs write them; see `Jobs.succeed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, prediction_id: str) -> PredictionRecord | None:
        """The prediction, or None. Its id follows from project, head and bag: see `identity.prediction_id`."""
        query = select(predictions).where(
            predictions.c.project == project, predictions.c.prediction_id == prediction_id
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(PredictionRecord, row)
