"""Every row of a bag made by the service equals an independent slow reference; planted faults are caught by the same test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from tests import reference
from tests.system.conftest import Service

pytestmark = [pytest.mark.system, pytest.mark.realct]

# The middle of the abdomen: neighbouring slices there are as alike as slices get.
MIDDLE = slice(50, 70)
SIZE = EncoderRegistry().get(DEFAULT_ENCODER).input_size
LEAST_COSINE = {"fp32": 0.9999, "standard": 0.998}


@dataclass(frozen=True)
class Embedded:
    """Rows of a bag by precision, the slices they were made of, and the reference features of those."""

    features: dict[str, NDArray[np.float32]]
    expected: NDArray[np.float64]
    slices: list[reference.ReferenceSlice]
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]]


def reference_network() -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """timm's own network with the encoder's weights: pooled and normed, fp32."""
    card = EncoderRegistry().get(DEFAULT_ENCODER)
    model = timm.create_model(card.architecture).eval()
    differences = model.load_state_dict(load_encoder(card).weights(), strict=False)
    assert not differences.unexpected_keys
    assert all(key.startswith(("head.pre_logits", "head.fc")) for key in differences.missing_keys)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            tokens = model.forward_features(torch.from_numpy(images))
            features: NDArray[np.float32] = model.head.norm(tokens.mean((1, 2))).numpy()
        return features

    return run


@pytest.fixture(scope="module")
def embedded(service: Service, real_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    folder = real_ct / "ct" / "ircad17_abdomen_lesions" / "PATIENT_DICOM"
    slices = reference.read_slices(p for p in folder.iterdir() if p.is_file())
    client = service.client
    upload = client.series.upload(folder, retain=True).series[0]
    client.jobs.wait(upload.job_id or "")
    fp32 = client.series.embed(upload.series_uid, precision="fp32")
    client.jobs.wait(fp32.job_id or "")
    features = {}
    for precision, bag_id in (("standard", upload.bag_id or ""), ("fp32", fp32.bag_id or "")):
        path = tmp_path_factory.mktemp("bags") / f"{precision}.h5"
        with h5py.File(client.bags.download(bag_id, path)) as file:
            assert [uid.decode() for uid in file["sop_instance_uid"]] == [s.sop_instance_uid for s in slices]
            features[precision] = file["feats"][:]
    network = reference_network()
    return Embedded(features, reference.forward(reference.make_rows(slices, size=SIZE), network), slices, network)


@pytest.mark.parametrize("precision", ["fp32", "standard"])
def test_every_row_is_its_own(embedded: Embedded, precision: str) -> None:
    agreement = reference.compare(embedded.features[precision], embedded.expected)
    assert agreement.worst_cosine >= LEAST_COSINE[precision]
    assert agreement.nearest_is_own == 1.0


def shifted(slices: list[reference.ReferenceSlice]) -> NDArray[np.uint8]:
    return reference.make_rows([*slices[1:], slices[0]], size=SIZE)


def brighter(slices: list[reference.ReferenceSlice]) -> NDArray[np.uint8]:
    return reference.make_rows([replace(s, hu=s.hu + 24) for s in slices], size=SIZE)


def swapped(slices: list[reference.ReferenceSlice]) -> NDArray[np.uint8]:
    return reference.make_rows(slices, windows=(reference.LUNG, reference.ABDOMEN), size=SIZE)


def coarse(slices: list[reference.ReferenceSlice]) -> NDArray[np.uint8]:
    return reference.make_rows(slices, resize=reference.nearest, size=SIZE)


@pytest.mark.parametrize("fault", [shifted, brighter, swapped, coarse])
def test_planted_faults_are_caught(
    embedded: Embedded, fault: Callable[[list[reference.ReferenceSlice]], NDArray[np.uint8]]
) -> None:
    wrong = reference.forward(fault(embedded.slices[MIDDLE]), embedded.network)
    rows = slice(2 * MIDDLE.start, 2 * MIDDLE.stop)
    for precision, least in LEAST_COSINE.items():
        sound = reference.compare(embedded.features[precision][rows], embedded.expected[rows])
        assert sound.worst_cosine >= least
        assert reference.compare(embedded.features[precision][rows], wrong).worst_cosine < least
