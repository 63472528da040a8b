"""Typed results of the SDK: frozen dataclasses, one file a noun."""

from slicebank.records.bags import Bag, BagArrays, BagWindow
from slicebank.records.decode import JSON, decode, decode_all
from slicebank.records.encoders import Encoder
from slicebank.records.heads import Head, HeadTraining, Task
from slicebank.records.jobs import Job, JobFailure, JobState, Progress
from slicebank.records.predictions import Attention, AttentionRow, AttentionSlice, Output, Prediction
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
    "Encoder",
    "Head",
    "HeadTraining",
    "Job",
    "JobFailure",
    "JobState",
    "Output",
    "Prediction",
    "Progress",
    "RefusedSeries",
    "Rejected",
    "Series",
    "Skipped",
    "Task",
    "Upload",
    "UploadedSeries",
    "Worker",
    "decode",
    "decode_all",
]
