"""How much faster is slicebank than the published extraction loop, on the same slices with the same weights?

The loop is that of the paper's code (KatherLab/CLEAR, sslfeatures_extract_*.py): a DataLoader with batch size 1 and two
workers opens and transforms the images of a scan with PIL and torchvision, and the model sees one image at a time in
float32. Its images are 8-bit PNG files that exist before; rendering them from DICOM is not counted. Ours starts at the
DICOM files and makes thumbnails too, as a worker does. One thing is changed in the loop's favour: its workers stay alive
between rounds, so that starting them is not counted. `eval()`, which the published code forgets, makes its features
comparable.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import write_series
from benchmarks.slices import read_stack

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import DataLoader

    from slicebank_models.cards import EncoderCard

WORKERS = 2  # as published
IMAGES_PER_SCAN = 8  # both workers are busy after one scan each, and few images wait in memory
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Rows a round in the short and in the full form: about 3 s and 15 s of the loop on two cores.
ROWS = {
    "mambaout_femto": (48, 160),
    "mambaout_tiny": (24, 64),
    "vit_base": (8, 32),
}
SEED = 31
WARM_SLICES = 2

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Scans:
    """Map-style data set: item i is the first row of scan i and its images, transformed."""

    images: Sequence[Path]
    transform: Callable[[Image.Image], Any]

    def __len__(self) -> int:
        return -(-len(self.images) // IMAGES_PER_SCAN)

    def __getitem__(self, scan: int) -> tuple[int, list[Any]]:
        first = scan * IMAGES_PER_SCAN
        return first, [self._open(path) for path in self.images[first : first + IMAGES_PER_SCAN]]

    def _open(self, path: Path) -> Any:
        with Image.open(path) as image:
            return self.transform(image.convert("RGB"))


def scans_loader(images: Sequence[Path]) -> DataLoader[Any]:
    """The published DataLoader over images in row order."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    scans: Any = Scans(images, transform)
    return DataLoader(scans, batch_size=1, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def run_loop(loader: DataLoader[Any], model: nn.Module) -> Features:
    """One pass of the published loop; (N, D) in row order."""
    import torch

    features: dict[int, Tensor] = {}
    for first, images in loader:
        for offset, image in enumerate(images):
            with torch.no_grad():
                features[int(first) + offset] = model(image).cpu()
    return torch.cat([features[row] for row in sorted(features)]).numpy()


def loop_model(card: EncoderCard, weights: dict[str, Tensor]) -> nn.Module:
    """timm's own module with the encoder's weights, so that no forward pass of ours is timed as the published one.

    The published transformer is MoCo v3's, which is timm's with fixed positions; the published MambaOut is timm's with
    nothing after the norm of its head.
    """
    from timm.models.mambaout import MambaOut
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    from slicebank_models.encoders.mambaout import LAYOUTS

    model: nn.Module
    if card.architecture in LAYOUTS:
        model = MambaOut(num_classes=0, **LAYOUTS[card.architecture])
        model.head.add_module("pre_logits", nn.Identity())
    else:
        # timm's norm has an epsilon of 1e-6, as MoCo v3's
        model = VisionTransformer(patch_size=16, embed_dim=768, depth=12, num_heads=12, num_classes=0)
    model.load_state_dict(weights)
    return model.eval()


def write_images(folder: Path, images: Path, window_names: Sequence[str]) -> list[Path]:
    """Renders a series to 8-bit grey PNG files; the paths are in row order (slice by slice, its windows in turn)."""
    from slicebank_imaging.pixels import SliceLoader
    from slicebank_imaging.windows import parse_windows

    images.mkdir()
    loader, paths = SliceLoader(folder), []
    for index, ref in enumerate(read_stack(folder).slices):
        ct = loader.load(ref)
        for window in parse_windows(window_names):
            paths.append(images / f"{index:05d}_{window.name}.png")
            Image.fromarray(ct.render(window)).save(paths[-1])
    return paths


def centred_cosines(ours: Features, reference: Features, n_windows: int) -> NDArray[np.float64]:
    """Cosine of each row with its reference after the reference's mean over the rows of its window is taken out of both.

    One mean for both sides, so that a shift that all rows share counts against us.

    Args:
        ours: (N, D), windows in turn.
        reference: (N, D).
        n_windows: windows a slice.
    """
    left, right = ours.astype(np.float64), reference.astype(np.float64)
    for window in range(n_windows):
        mean = right[window::n_windows].mean(axis=0)
        left[window::n_windows] -= mean
        right[window::n_windows] -= mean
    products: NDArray[np.float64] = (left * right).sum(axis=1)
    return products / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))


@lru_cache(maxsize=1)  # the workers of one encoder end when the next one's begin
def _loop(encoder_id: str, images: tuple[Path, ...]) -> tuple[DataLoader[Any], nn.Module]:
    """Loader and model of the loop's process, warm and with its workers started."""
    import torch

    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    card = EncoderRegistry().get(encoder_id)
    loader, model = scans_loader(images), loop_model(card, load_encoder(card).weights())
    _, scan = next(iter(loader))
    with torch.no_grad():
        model(scan[0])
    return loader, model


def import_libraries() -> None:
    """Imports what the loop needs, before it is asked for, while the other process imports its own."""
    import timm.models  # noqa: F401
    import torchvision.transforms  # noqa: F401


def torch_threads(encoder_id: str, images: tuple[Path, ...]) -> int:
    """Makes the loop ready; the number of threads that torch chose in its process."""
    import torch

    _loop(encoder_id, images)
    return torch.get_num_threads()


def time_loop(encoder_id: str, images: tuple[Path, ...]) -> tuple[float, Features]:
    """Seconds of one pass of the loop, and its features."""
    loader, model = _loop(encoder_id, images)
    started = time.perf_counter()
    features = run_loop(loader, model)
    return time.perf_counter() - started, features


def measure(process: Executor, encoder_id: str, n_rows: int, rounds: int, scratch: Path) -> dict[str, Any]:
    """Loop and pipeline in turn on one phantom series.

    Args:
        process: where the loop runs.
        encoder_id: of a built-in encoder.
        n_rows: rows a round.
        rounds: times each is measured, after a few rows that are not.
        scratch: an empty folder.
    """
    import torch

    from benchmarks.pipeline import open_pipeline
    from slicebank_models.inference import has_native_bfloat16
    from slicebank_models.registry import EncoderRegistry

    window_names = EncoderRegistry().get(encoder_id).windows
    n_windows = len(window_names)
    series = write_series(scratch / "dicom", n_rows // n_windows, SEED)
    warm_up = write_series(scratch / "warm-up", WARM_SLICES, SEED + 1)
    images = tuple(write_images(series.folder, scratch / "png", window_names))
    loop_rates, our_rates = [], []
    ready = process.submit(torch_threads, encoder_id, images)  # loads its weights while the pipeline loads its own
    with open_pipeline(encoder_id, "standard") as pipeline:
        pipeline.run([warm_up.folder])
        loop_threads = ready.result()
        for _ in range(rounds):
            loop_s, expected = process.submit(time_loop, encoder_id, images).result()
            loop_rates.append(len(expected) / loop_s)
            ours = pipeline.run([series.folder])
            our_rates.append(ours.rows / ours.seconds)
    cosines = centred_cosines(ours.features[series.series_uid], expected, n_windows)
    loop, slicebank = statistics.median(loop_rates), statistics.median(our_rates)
    return {
        "rows": len(expected),
        "rounds": rounds,
        "loop_threads": loop_threads,
        "loop_rows_per_s": loop,
        "ours_rows_per_s": slicebank,
        "ratio": slicebank / loop,
        "ours_dtype": "bfloat16" if has_native_bfloat16(torch.device("cpu")) else "float32",
        "cosine_min": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
        "cosine_min_by_window": {
            name: float(cosines[window::n_windows].min()) for window, name in enumerate(window_names)
        },
    }


def run(form: Form) -> None:
    """Measures three encoders, one after the other.

    The loop has a process of its own, as a script has: how workers set up allocator and threads does not reach it.
    """
    from benchmarks.record import save

    figures: dict[str, Any] = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(import_libraries)
        for name, (short, full) in ROWS.items():
            with tempfile.TemporaryDirectory() as scratch:
                measured = measure(process, f"{name}.untrained", form.pick(short, full), form.pick(3, 4), Path(scratch))
            figures[name] = measured
            print(
                f"{name}: loop {measured['loop_rows_per_s']:.1f} rows/s, ours {measured['ours_rows_per_s']:.1f} "
                f"({measured['ratio']:.2f} x, {measured['ours_dtype']}), centred cosine >= {measured['cosine_min']:.5f}"
            )
    loop = {"batch_size": 1, "num_workers": WORKERS, "images_per_scan": IMAGES_PER_SCAN}
    print(save("published_loop", __doc__ or "", {"loop": loop, "encoders": figures}, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
