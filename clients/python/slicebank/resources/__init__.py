"""What hangs off a `Client`: one file a noun of the REST interface."""

from slicebank.resources.bags import BagsResource
from slicebank.resources.cohorts import CohortsResource
from slicebank.resources.encoders import EncodersResource
from slicebank.resources.exports import ExportsResource
from slicebank.resources.heads import HeadsResource
from slicebank.resources.imports import ImportsResource, SourcesResource
from slicebank.resources.jobs import JobsResource
from slicebank.resources.predictions import PredictionsResource
from slicebank.resources.series import SeriesResource
from slicebank.resources.workers import WorkersResource

__all__ = [
    "BagsResource",
    "CohortsResource",
    "EncodersResource",
    "ExportsResource",
    "HeadsResource",
    "ImportsResource",
    "JobsResource",
    "PredictionsResource",
    "SeriesResource",
    "SourcesResource",
    "WorkersResource",
]
