"""The catalogue: series, bags, jobs, heads and predictions in SQL."""

from slicebank_store.catalogue.catalogue import Catalogue
from slicebank_store.catalogue.deletions import Deleted
from slicebank_store.catalogue.heads import NewHead
from slicebank_store.catalogue.incoming import EmbedRequest, IncomingSeries, IncomingStack, Submitted
from slicebank_store.catalogue.jobs import Beat, HeadOutcome, Jobs, Lease, NewJob
from slicebank_store.catalogue.records import (
    BagRecord,
    HeadRecord,
    JobRecord,
    Page,
    PredictionRecord,
    RevisionRecord,
    SeriesRecord,
)

__all__ = [
    "BagRecord",
    "Beat",
    "Catalogue",
    "Deleted",
    "EmbedRequest",
    "HeadOutcome",
    "HeadRecord",
    "IncomingSeries",
    "IncomingStack",
    "JobRecord",
    "Jobs",
    "Lease",
    "NewHead",
    "NewJob",
    "Page",
    "PredictionRecord",
    "RevisionRecord",
    "SeriesRecord",
    "Submitted",
]
