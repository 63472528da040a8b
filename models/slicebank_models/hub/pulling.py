"""Fetching what was planned, checking it, and registering it: whole or not at all."""

import errno
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from slicebank_models.cards import EncoderCard
from slicebank_models.checkpoint_files import INDEX_SUFFIX, shard_names
from slicebank_models.checkpoints import BRANCHES, MappingReport, open_checkpoint
from slicebank_models.errors import BadCard, PullUnderWay, WrongFile
from slicebank_models.hub.access import Hub, HubFile, OnBytes
from slicebank_models.hub.published import PullPlan
from slicebank_models.hub.terms import require_accepted
from slicebank_models.inferring import infer_architecture
from slicebank_models.loading import draft_for_checkpoint, install_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_models.stored_weights import file_sha256
from slicebank_models.weights_source import WeightsSource

STAGING_PREFIX = ".pulling-"
# What was fetched in part is of use to the next try; nobody tries after a week.
_KEEP_S = 7 * 86_400.0
# Beside the file as published stands, for a moment, the file as registered; float16 becomes float32 in it.
_COPIES = 3
_MARGIN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought.

    Attributes:
        card: As registered; its source names commit and sha256 of what was fetched.
        report: What became of every key.
    """

    card: EncoderCard
    report: MappingReport


def pull(
    plan: PullPlan,
    registry: EncoderRegistry,
    hub: Hub,
    *,
    accepted: bool,
    on_bytes: OnBytes,
    windows: tuple[str, ...] | None = None,
    branch: str = BRANCHES[0],
) -> Pulled:
    """Fetches the file of a plan into the registry's folder, checks it and registers the encoder.

    A transfer that breaks leaves what came for the next try; everything else that fails leaves nothing.

    Args:
        plan: From `plan_pull`.
        registry: Must have a folder.
        hub: Where to fetch from.
        accepted: The user accepted the terms.
        on_bytes: Told how far the file is.
        windows: Windows rendered by default, where not the card's.
        branch: Encoder of a MoCo v3 training file to take.

    Raises:
        LicenceNotAccepted: `accepted` is false.
        HubError: The file cannot be had, or is another than the pinned one.
        CheckpointError: It is no checkpoint of the architecture.
        EncoderExists: The id is taken.
        OSError: The disk is full.
    """
    require_accepted(plan.encoder_id, plan.terms, accepted)
    registry.require_free(plan.encoder_id)
    if (
        plan.card is not None and windows is not None
    ):  # refused before anything is fetched, where a scan encoder has none
        plan = replace(plan, card=replace(plan.card, windows=windows))
    with _staging(registry, plan.source) as folder:
        source, checkpoint = _fetch(plan, hub, folder, on_bytes)
        try:
            card = plan.card
            opened = open_checkpoint(checkpoint, branch=branch)
            if card is None:
                architecture = plan.architecture or infer_architecture(opened, plan.source.file)
                licence = plan.terms.licence or f"see {plan.terms.url}"
                card = draft_for_checkpoint(
                    plan.encoder_id, architecture=architecture, licence=licence, windows=windows
                )
            card = replace(card, source=source)
            installed, report = install_encoder(registry, card, opened)
        finally:
            # Another try with another architecture is rare, and gigabytes that nobody will use again are not.
            shutil.rmtree(folder, ignore_errors=True)
    return Pulled(installed, report)


def _fetch(plan: PullPlan, hub: Hub, folder: Path, on_bytes: OnBytes) -> tuple[WeightsSource, Path]:
    """The file of a plan and what to read it as: itself, or the folder where it is an index of shards."""
    source = plan.source
    target = folder / PurePosixPath(source.file).name
    found = hub.find(source.place, source.file, source.revision)
    if found is not None and source.sha256 and found.sha256 and found.sha256 != source.sha256:
        raise WrongFile(_other_file(source, found.sha256))
    _require_space(folder, target, found)
    fetched, sha256 = _bring(hub, source, source.file, source.revision, target, on_bytes)
    if source.sha256 and sha256 != source.sha256:
        shutil.rmtree(folder)
        raise WrongFile(_other_file(source, sha256))
    complete = replace(source, sha256=sha256, revision=fetched.revision)
    if not source.file.endswith(INDEX_SUFFIX):
        return complete, target
    place = PurePosixPath(source.file).parent
    for name in shard_names(target.read_bytes(), target.name):
        file = str(place / name)
        _require_space(folder, folder / name, hub.find(source.place, file, fetched.revision))
        _bring(hub, source, file, fetched.revision, folder / name, on_bytes)
    return complete, folder


def _bring(
    hub: Hub, source: WeightsSource, file: str, revision: str, target: Path, on_bytes: OnBytes
) -> tuple[HubFile, str]:
    """Fetches one file; what the hub said of it, and its sha256.

    Raises:
        WrongFile: It is not what the hub said.
    """
    fetched = hub.fetch(source.place, file, revision, target, on_bytes)
    sha256 = file_sha256(target)
    if fetched.sha256 and sha256 != fetched.sha256:
        shutil.rmtree(target.parent)
        raise WrongFile(f"What came of {file} has sha256 {sha256}, its hub says {fetched.sha256}; pull it again.")
    return fetched, sha256


def _other_file(source: WeightsSource, sha256: str) -> str:
    return (
        f"{source.file} of {source.repo} has sha256 {sha256}, and {source.sha256} is pinned: it was replaced, or the mirror is not "
        "faithful. Nothing was registered. Who trusts it pins it with --sha256, or, where the card pins another, registers it under an "
        f"id of its own: `slicebank encoders pull hf:{source.place}:{source.file} --id ID`."
    )


def _require_space(folder: Path, target: Path, found: HubFile | None) -> None:
    if found is None:
        return
    here = sum(path.stat().st_size for path in folder.glob(f"{target.name}*"))
    needed = _COPIES * found.size - here + _MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"The pull needs {needed} bytes on the disk of the encoders folder, and {free} are free"
        )


@contextmanager
def _staging(registry: EncoderRegistry, source: WeightsSource) -> Iterator[Path]:
    """A folder inside the registry's for one file, held by one process at a time; emptied ones go."""
    if registry.folder is None:
        raise BadCard("This registry has only built-in encoders; give it a folder to add to.")
    named = f"{source.place}\0{source.file}\0{source.revision}"
    folder = registry.folder / f"{STAGING_PREFIX}{hashlib.sha256(named.encode()).hexdigest()[:16]}"
    registry.folder.mkdir(parents=True, exist_ok=True)
    _forget_old(registry.folder, folder)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise PullUnderWay(f"Another process pulls {source.file} of {source.repo} already; wait for it.") from error
    try:
        folder.mkdir(exist_ok=True)
        yield folder
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if not folder.exists():
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _forget_old(root: Path, kept: Path) -> None:
    for folder in root.glob(f"{STAGING_PREFIX}*"):
        try:
            old = time.time() - max(path.stat().st_mtime for path in (folder, *folder.glob("*"))) > _KEEP_S
        except OSError:
            continue  # another process has just removed it
        if old and folder.name.removesuffix(".lock") != kept.name:
            shutil.rmtree(folder, ignore_errors=True) if folder.is_dir() else folder.unlink(missing_ok=True)
