"""Does LECL tell lesion slices better than MoCo v3, on phantoms where no shortcut does?

Both train the same small network with the same settings on the same slices, seed by seed; a linear probe on frozen features of whole
slices then tells lesion slices from others in patients that no run was trained on. Beside them: statistics of HU on the same split,
and the same network with its first weights.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.form import Form, form_from_arguments
from benchmarks.lecl_phantoms.baselines import baselines, untrained
from benchmarks.lecl_phantoms.setting import EVALUATED, PHANTOMS, SPEC, TRAINED, WINDOWS, Size
from benchmarks.lecl_phantoms.source import LESION, MimicSource
from slicebank_models.pretraining.ablation import (
    AblationResult,
    ablation_tasks,
    judge_encoder,
    run_ablation,
    trained_encoder,
)
from slicebank_models.pretraining.ablation_plan import AblationPlan
from slicebank_models.pretraining.ablation_report import ablation_page, summarise
from slicebank_models.pretraining.slice_cache import SliceCache, write_cache
from slicebank_models.pretraining.spec import PretrainingSpec
from slicebank_models.pretraining.training import pretrain

FEWER = 0.2  # of the lesion slices have a box in the last part: a tenth of all slices
TASK = "label"  # lesion or none; boxes are there for a part of the lesions alone


def make_cache(folder: Path, size: Size, *, first_seed: int = 0) -> SliceCache:
    """Draws patients into a cache: those to train on, then those to judge on."""
    train = range(TRAINED + first_seed, TRAINED + first_seed + size.train_patients)
    held_out = range(EVALUATED + first_seed, EVALUATED + first_seed + size.held_out_patients)
    sources = [
        MimicSource(train, PHANTOMS, size.annotated, "train"),
        MimicSource(held_out, PHANTOMS, size.annotated, "held-out"),
    ]
    write_cache(sources, folder, side=PHANTOMS.size)
    return SliceCache(folder)


def split_of(cache: SliceCache, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Places of the slices to train on and of those to judge on."""
    first = size.train_patients * PHANTOMS.slices
    return np.arange(first), np.arange(first, len(cache))


def measure(
    cache: SliceCache, size: Size, folder: Path, spec: PretrainingSpec
) -> tuple[list[AblationResult], dict[str, Any]]:
    """Trains and judges every run; returns the results and the figures."""
    split = split_of(cache, size)
    lesion = cache.labels == LESION
    hu = cache.read(np.arange(len(cache)))
    train, held_out = split
    plan = AblationPlan(spec, (spec.model.architecture,), size.lesion_weights, size.seeds)
    results: list[AblationResult] = []
    for found in run_ablation(cache, plan, folder, windows=WINDOWS, split=split):
        results += [one for one in found if one.task == TASK]
        print("  ", results[-1].variant.title, results[-1].seed, f"{results[-1].auroc:.3f}", flush=True)
    figures = {
        "train_slices": len(train),
        "held_out_slices": len(held_out),
        "held_out_patients": size.held_out_patients,
        "annotated_share_of_lesions": size.annotated,
        "annotated_share_of_slices": float(cache.annotated[train].mean()),
        "baselines": baselines(hu[train], lesion[train], hu[held_out], lesion[held_out]),
        "untrained": untrained(cache, spec, WINDOWS, split, range(spec.run.seed, spec.run.seed + size.seeds)),
        "methods": [_figures(summary) for summary in summarise(results)],
        "runs": [{"method": one.variant.title, "seed": one.seed, "auroc": one.auroc} for one in results],
    }
    return results, figures


def measure_fewer_boxes(cache: SliceCache, size: Size, folder: Path, spec: PretrainingSpec) -> dict[str, Any]:
    """Trains LECL, lambda 0, on slices of which few have a box; MoCo v3 is what it was, since it takes no notice of boxes."""
    split = split_of(cache, size)
    (task, *_) = ablation_tasks(cache, *split, most=spec.run.probe_slices, seed=0)
    found = []
    for seed in range(spec.run.seed, spec.run.seed + size.seeds):
        seeded = replace(spec, run=replace(spec.run, seed=seed))
        pretrain(cache, seeded, folder / str(seed), windows=WINDOWS, split=split)
        encoder = trained_encoder(folder / str(seed), seeded)
        ((_, probed),) = judge_encoder(encoder, cache, seeded, [task], WINDOWS, torch.device("cpu"))
        found.append(probed.auroc)
        print("   LECL-0, fewer boxes", seed, f"{probed.auroc:.3f}", flush=True)
    return {
        "annotated_share_of_slices": float(cache.annotated[split[0]].mean()),
        "mean": statistics.fmean(found),
        "sd": statistics.stdev(found) if len(found) > 1 else 0.0,
        "aurocs": found,
    }


def run(form: Form) -> None:
    """Draws, trains and judges; the short form trains a few steps, to show that everything works."""
    from benchmarks.record import save

    size = Size.of(form)
    spec = SPEC if form is Form.FULL else replace(SPEC, run=replace(SPEC.run, max_steps=3))
    with tempfile.TemporaryDirectory() as scratch:
        cache = make_cache(Path(scratch) / "cache", size)
        results, figures = measure(cache, size, Path(scratch) / "runs", spec)
        few = replace(size, annotated=FEWER)
        figures["fewer_boxes"] = measure_fewer_boxes(
            make_cache(Path(scratch) / "few", few), few, Path(scratch) / "few-runs", spec
        )
    print(ablation_page(results))
    print(figures["baselines"], figures["untrained"])
    print(
        save(
            "lecl_phantoms", __doc__ or "", {**figures, "phantoms": asdict(PHANTOMS), "settings": spec.as_dict()}, form
        )
    )


def _figures(summary: Any) -> dict[str, Any]:
    values = asdict(summary)
    return {"method": summary.variant.title, **{k: v for k, v in values.items() if k not in ("variant", "task")}}


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
