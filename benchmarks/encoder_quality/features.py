"""Rows as the service makes them, and the feature of a slice: its rows one after another."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.encoder_quality.series import EvaluationSeries
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.resize import Interpolation
from slicebank_imaging.windows import parse_windows
from slicebank_models.cards import InputKind
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.device import plan_runners
from slicebank_worker.engine import EncoderKey
from slicebank_worker.engine.rows import RowSpec
from slicebank_worker.engine.series import EncodedSlice, SeriesEncoder
from slicebank_worker.feeding import start_engine
from slicebank_worker.settings import WorkerSettings

PRECISION: Literal["fp32"] = "fp32"


def encode(encoder_id: str, series: Sequence[EvaluationSeries], encoders: Path | None = None) -> NDArray[np.float32]:
    """Features of all slices of all series, in order: (slices, windows * D).

    The worker's own engine, with the encoder's windows, in float32, so that machines agree.

    Args:
        encoder_id: of a card; `ID@160` is the same encoder reading slices of 160 x 160 pixels.
        series: what to encode.
        encoders: folder of registered encoders.
    """
    registry = EncoderRegistry(encoders)
    name, _, pixels = encoder_id.partition("@")
    card = registry.get(name)
    if pixels:
        card = replace(card, input_size=int(pixels))
    spec = RowSpec(
        windows=parse_windows(card.windows),
        size=card.input_size,
        hounsfield=card.input_kind is InputKind.HU,
        thumbnails=False,
        interpolation=Interpolation(card.interpolation.value),
    )
    settings = WorkerSettings(_env_file=None)
    plan = plan_runners(settings)
    network = load_encoder(card, encoders)
    frozen = {device: FrozenEncoder(card, network, device=device, precision=PRECISION) for device in set(plan.devices)}
    engine = start_engine(plan, lambda _, device: frozen[device])
    key = EncoderKey(encoder_id, card.weights_digest, PRECISION)
    with ThreadPoolExecutor(settings.decode_threads, initializer=torch.set_num_threads, initargs=(1,)) as decoders:
        try:
            worker = SeriesEncoder(engine, decoders, settings.decode_threads, rows_on_device=plan.on_gpu)
            return np.concatenate([_encode_one(worker, key, spec, each) for each in series])
        finally:
            engine.close()


def _encode_one(worker: SeriesEncoder, key: EncoderKey, spec: RowSpec, series: EvaluationSeries) -> NDArray[np.float32]:
    loader, slices = SliceLoader(series.stack.folder), series.stack.slices
    rows: list[NDArray[np.float32]] = []
    with worker.engine.stream(key, interactive=False) as stream:
        for item in worker.run(lambda index: loader.load(slices[index]), len(slices), spec, stream):
            if not isinstance(item, EncodedSlice):
                raise TypeError(item.detail)
            rows.append(np.asarray(item.features, np.float32).reshape(-1))
    return np.stack(rows)
