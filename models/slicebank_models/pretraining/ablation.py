"""MoCo v3 against LECL at several lesion weights and architectures on one cache: the paper's Figure 2 for the data at hand."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_models.encoders.build import build_encoder, family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.errors import BadPretrainingCheckpoint, BadPretrainingSetting
from slicebank_models.pretraining.ablation_plan import AblationPlan, AblationRun, Variant
from slicebank_models.pretraining.checkpointing import differences, load_checkpoint
from slicebank_models.pretraining.contrastive import pretraining_card
from slicebank_models.pretraining.distributed import Processes
from slicebank_models.pretraining.grey import window_bounds
from slicebank_models.pretraining.linear_probe import ProbeResult, ProbeTask, embed_slices, fit_probe
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.spec import Method, PretrainingSpec
from slicebank_models.pretraining.splitting import split_patients
from slicebank_models.pretraining.training import Progress, Split, pretrain

JSON = dict[str, Any]
Windows = Mapping[str, tuple[float, float]]

RUNS = "runs"
RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class AblationResult:
    """What a run's encoder tells of the held-out patients' slices through a linear probe.

    Attributes:
        architecture: Of the variant.
        method: Of the variant.
        lesion_weight: Of the variant.
        seed: Of the run.
        task: `label`, or `lesion` for whether a slice has a box.
        auroc: Of two classes, or the mean of each class against the others.
        balanced_accuracy: Mean over the classes of the share that was told right.
        classes: How many.
        train_slices: That the probe was fitted to.
        held_out_slices: That it was judged on.
        held_out_patients: Of these.
        loss: Of the last step that was logged.
        seconds: Of training.
    """

    architecture: str
    method: Method
    lesion_weight: float
    seed: int
    task: str
    auroc: float
    balanced_accuracy: float
    classes: int
    train_slices: int
    held_out_slices: int
    held_out_patients: int
    loss: float
    seconds: float

    @property
    def variant(self) -> Variant:
        """What was trained."""
        return Variant(self.architecture, self.method, self.lesion_weight)


def run_ablation(
    cache: SliceCache,
    plan: AblationPlan,
    folder: Path,
    *,
    windows: Windows,
    processes: Processes | None = None,
    split: Split | None = None,
    on_run: Callable[[int, AblationRun], None] = lambda number, run: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[AblationResult]]:
    """Trains and judges one run after the other; yields each one's results. What `folder` has already is not done again.

    The held-out patients are the same for every run, and no run is trained on them.

    Args:
        cache: The slices.
        plan: The runs.
        folder: Of the ablation; each run has a folder below it.
        windows: As `training.pretrain`.
        processes: As `training.pretrain`.
        split: Places in the cache to train on and to judge on; by `splitting.split_patients` where it is None.
        on_run: Called with the number of each run, from 0, before it begins.
        on_progress: As `training.pretrain`.
        stop: As `training.pretrain`; a run that is stopped yields nothing, and nothing comes after it.

    Raises:
        UnknownArchitecture: There is no such architecture.
        BadPretrainingSetting: The slices have no boxes, or no question that both sides can answer.
        BadPretrainingCheckpoint: The folder holds runs of other settings or slices.
    """
    processes = processes or Processes.alone()
    for architecture in plan.architectures:
        family_of(architecture)
    if not cache.annotated.any():
        raise BadPretrainingSetting("No slice of this cache has a lesion box, so LECL would do what MoCo v3 does.")
    split = split or split_patients(cache, plan.spec.run.validation_fraction, plan.spec.run.seed)
    tasks = ablation_tasks(cache, *split, most=plan.spec.run.probe_slices, seed=plan.spec.run.seed)
    if not tasks:
        raise BadPretrainingSetting(
            "There is nothing to compare encoders by: slices with and without boxes, or of two labels, must be on both sides "
            "of the split. Raise run.validation_fraction, or cache more patients."
        )
    for number, run in enumerate(plan.runs()):
        on_run(number, run)
        place = folder / RUNS / run.name
        kept = _kept(place, run, cache.digest)
        if kept is not None:
            yield kept
            continue
        trained = pretrain(
            cache,
            run.spec,
            place,
            windows=windows,
            processes=processes,
            split=split,
            on_progress=on_progress,
            stop=stop,
        )
        if trained.interrupted:
            return
        encoder = trained_encoder(place, run.spec)
        results = [
            AblationResult(
                **asdict(run.variant),
                seed=run.seed,
                task=task.name,
                auroc=probed.auroc,
                balanced_accuracy=probed.balanced_accuracy,
                classes=len(task.classes),
                train_slices=len(task.train),
                held_out_slices=len(task.validation),
                held_out_patients=len(np.unique(cache.patients[task.validation])),
                loss=trained.loss,
                seconds=round(trained.seconds, 1),
            )
            for task, probed in judge_encoder(encoder, cache, run.spec, tasks, windows, processes.device)
        ]
        _keep(place, run, cache.digest, results)
        yield results


def ablation_tasks(
    cache: SliceCache, train: NDArray[np.int64], held_out: NDArray[np.int64], *, most: int, seed: int
) -> tuple[ProbeTask, ...]:
    """The questions that slices on both sides have an answer to: their label, and whether they have a lesion box.

    Args:
        cache: The slices.
        train: Places in the cache.
        held_out: Places in the cache, of other patients.
        most: Slices to take on either side, drawn at random.
        seed: Of the draw.
    """
    labels = np.asarray(cache.labels).astype(str)
    lesion = np.where(np.asarray(cache.annotated, bool), "lesion", "none")
    tasks = []
    for name, answers in (("label", labels), ("lesion", lesion)):
        both = np.intersect1d(answers[train], answers[held_out])
        classes = tuple(str(value) for value in both if value)
        if len(classes) < 2:
            continue
        place = {value: number for number, value in enumerate(classes)}
        sides = [_some(places[np.isin(answers[places], classes)], most, seed) for places in (train, held_out)]
        given = [np.array([place[value] for value in answers[places]], np.int64) for places in sides]
        tasks.append(ProbeTask(name, classes, *sides, *given))
    return tuple(tasks)


def _some(places: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(places)[:most])


def judge_encoder(
    encoder: Encoder,
    cache: SliceCache,
    spec: PretrainingSpec,
    tasks: Sequence[ProbeTask],
    windows: Windows,
    device: torch.device,
) -> Iterator[tuple[ProbeTask, ProbeResult]]:
    """Yields each task with what a linear probe makes of it; slices that several tasks ask for are embedded once, in float32.

    Args:
        encoder: Its features are judged.
        cache: The slices.
        spec: Its windows and input size.
        tasks: At least one.
        windows: As `training.pretrain`.
        device: To compute on.
    """
    wanted = np.unique(np.concatenate([places for task in tasks for places in (task.train, task.validation)]))
    features = embed_slices(
        encoder.to(device),
        cache,
        wanted,
        windows=window_bounds(spec.views.windows, windows),
        input_size=spec.model.input_size,
        device=device,
        dtype=torch.float32,
    )
    for task in tasks:
        train, held_out = (features[np.searchsorted(wanted, places)] for places in (task.train, task.validation))
        yield task, fit_probe(task, train, held_out)


def trained_encoder(place: Path, spec: PretrainingSpec) -> Encoder:
    """Returns the encoder of a run's last checkpoint, frozen.

    Args:
        place: Folder of the run.
        spec: Its settings.

    Raises:
        BadPretrainingCheckpoint: There is none.
    """
    checkpoint = load_checkpoint(place)
    if checkpoint is None:
        raise BadPretrainingCheckpoint(f"{place.name} has no checkpoint to judge.")
    encoder = build_encoder(pretraining_card(spec.model))
    prefix = "encoder."
    encoder.load_state_dict(
        {key.removeprefix(prefix): value for key, value in checkpoint.model.items() if key.startswith(prefix)}
    )
    return encoder


def _keep(place: Path, run: AblationRun, digest: str, results: Sequence[AblationResult]) -> None:
    document = {
        "cache_digest": digest,
        "spec": run.spec.as_dict(),
        "results": [asdict(result) for result in results],
    }
    fresh = place / f"{RESULT}.tmp"
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(place / RESULT)


def _kept(place: Path, run: AblationRun, digest: str) -> list[AblationResult] | None:
    """Results of a run that has ended; None where it has not, or where the probe took other slices.

    Raises:
        BadPretrainingCheckpoint: It is a run of other settings or slices.
    """
    try:
        document = json.loads((place / RESULT).read_text(encoding="utf-8"))
        results = [AblationResult(**{**entry, "method": Method(entry["method"])}) for entry in document["results"]]
        before, digest_before = document["spec"], str(document["cache_digest"])
        probed = before["run"]["probe_slices"], before["run"]["max_steps"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPretrainingCheckpoint(
            f"{RESULT} of {place.name} cannot be read; remove it to have the run judged again."
        ) from error
    differing = differences(before, run.spec.as_dict())
    if differing or digest_before != digest:
        why = "; ".join(differing) or "other slices"
        raise BadPretrainingCheckpoint(
            f"This folder holds an ablation of other settings: {why}. Go on with those, or name another folder."
        )
    same = probed == (run.spec.run.probe_slices, run.spec.run.max_steps)
    return results if same else None
