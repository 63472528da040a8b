"""Typed results of the SDK: frozen dataclasses, one file a noun."""

from slicebank.records.bags import Bag, BagArrays, BagWindow
from slicebank.records.cohorts import CaseOutcome, CaseState, Cohort, CohortFailure, Submission
from slicebank.records.decode import JSON, decode, decode_all
from slicebank.records.encoders import Encoder, EncoderCheck, EncoderPull, EncoderSource
from slicebank.records.evaluations import CasePrediction, Evaluation, EvaluationStarted, HeadComparison
from slicebank.records.exports import Export, ExportProgress
from slicebank.records.heads import Head, HeadTraining, Task
from slicebank.records.imports import Import, ImportedStudy, Source
from slicebank.records.jobs import Job, JobFailure, JobState, Progress
from slicebank.records.predictions import (
    Attention,
    AttentionRow,
    AttentionSlice,
    Output,
    Prediction,
    Pushed,
    PushedObject,
)
from slicebank.records.reports import Plot
from slicebank.records.series import RefusedSeries, Rejected, Series, Skipped, Upload, UploadedSeries
from slicebank.records.workers import Worker

__all__ = [
    "JSON",
    "Attention",
    "AttentionRow",
    "AttentionSlice",
    "Bag",
    "BagArrays",
    "BagWindow",
    "CaseOutcome",
    "CasePrediction",
    "CaseState",
    "Cohort",
    "CohortFailure",
    "Encoder",
    "EncoderCheck",
    "EncoderPull",
    "EncoderSource",
    "Evaluation",
    "EvaluationStarted",
    "Export",
    "ExportProgress",
    "Head",
    "HeadComparison",
    "HeadTraining",
    "Import",
    "ImportedStudy",
    "Job",
    "JobFailure",
    "JobState",
    "Output",
    "Plot",
    "Prediction",
    "Progress",
    "Pushed",
    "PushedObject",
    "RefusedSeries",
    "Rejected",
    "Series",
    "Skipped",
    "Source",
    "Submission",
    "Task",
    "Upload",
    "UploadedSeries",
    "Worker",
    "decode",
    "decode_all",
]
