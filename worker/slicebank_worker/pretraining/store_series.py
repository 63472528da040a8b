"""Series of a slicebank store whose pixels are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.slices import SliceRef
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import SourceSlice
from slicebank_store.blobs.opening import open_blobs
from slicebank_store.blobs.protocol import BlobStore
from slicebank_store.catalogue.catalogue import Catalogue
from slicebank_store.catalogue.records import KeptStack
from slicebank_store.errors import BadPixels, SliceNotKept, StoreError
from slicebank_store.identity import ProjectKeys
from slicebank_store.pseudonyms import Pseudonyms
from slicebank_store.retained import RetainedReader
from slicebank_store.settings import StoreSettings
from slicebank_worker.pretraining.box_table import BoxTable, SliceKey
from slicebank_worker.pretraining.decoding import in_order
from slicebank_worker.pretraining.left_out import LeftOut


class StoreSource:
    """The axial stacks of a project that were uploaded with `retain`, at their current revision.

    Patients are called as the store calls them. Rows of boxes name UIDs as the sender's files do, or as the store does where
    it hashes them.

    Args:
        settings: Where the store is.
        project: Whose series.
        boxes: Of any number of slices; those without stay in as context.
        workers: Threads.

    Raises:
        SourceProblem: There is no store, or no kept series in the project.
    """

    name = "store"

    def __init__(
        self, settings: StoreSettings, project: str = "default", *, boxes: BoxTable | None = None, workers: int
    ) -> None:
        self._settings = settings
        self._project = project
        self._boxes = boxes
        self._workers = workers
        self._left_out = LeftOut()
        try:
            with closing(Catalogue.open(settings.resolved_catalogue_url)) as catalogue:
                self._stacks = catalogue.series.kept_stacks(project)
                pseudonyms = Pseudonyms(
                    ProjectKeys(settings.resolved_keys_dir), project, catalogue.projects.policies(project)
                )
            if boxes is not None and pseudonyms.uids_hashed:
                boxes.also_by(pseudonyms.uid_asked)
        except StoreError as error:
            raise SourceProblem(f"The store cannot be read: {error}") from error
        if not self._stacks:
            raise SourceProblem(
                f"Project {project} of the store keeps no pixels: upload with `slicebank upload --retain`, or name the files' folder."
            )

    def __len__(self) -> int:
        return sum(stack.n_slices for stack in self._stacks)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Slices that were not kept, pixels that cannot be read, and boxes without a slice."""
        return self._left_out.sentences()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields stack after stack, from inferior to superior.

        Raises:
            SourceProblem: Rows of boxes are given, and none names a slice; or the blobs do not answer.
        """
        self._left_out = LeftOut()
        try:
            blobs = open_blobs(self._settings)
            with closing(Catalogue.open(self._settings.resolved_catalogue_url)) as catalogue:
                if self._boxes is not None and self._boxes.users == 1:
                    self._require_match(self._boxes, catalogue)
                for stack in self._stacks:
                    yield from self._stack(stack, self._keys(stack, catalogue), blobs)
        except StoreError as error:
            raise SourceProblem(f"The store cannot be read: {error}") from error
        if self._boxes is not None:
            for sentence in self._boxes.end_source():
                self._left_out.add(sentence)

    def _require_match(self, boxes: BoxTable, catalogue: Catalogue) -> None:
        example = ""
        for stack in self._stacks:
            keys = self._keys(stack, catalogue)
            if boxes.any_match(keys):
                return
            example = example or keys[0].sop_instance_uid
        raise boxes.no_match(example)

    def _keys(self, stack: KeptStack, catalogue: Catalogue) -> list[SliceKey]:
        slices = catalogue.series.slices_of(self._project, stack.series_uid, stack.revision, stack.stack)
        refs = [SliceRef.from_dict(value) for value in slices]
        frames = Counter(ref.sop_instance_uid for ref in refs)
        return [
            SliceKey(
                ref.sop_instance_uid,
                stack.series_uid,
                ref.instance_number,
                frame=ref.frame_number,
                frames=frames[ref.sop_instance_uid],
            )
            for ref in refs
        ]

    def _stack(self, stack: KeptStack, keys: list[SliceKey], blobs: BlobStore) -> Iterator[SourceSlice]:
        name = stack.series_uid if stack.default else f"{stack.series_uid}.stack{stack.stack}"
        given = self._boxes.patient_of(keys) if self._boxes is not None else ""
        spacing = stack.geometry.get("pixel_spacing_mm")
        with ExitStack() as opened:
            try:
                path = opened.enter_context(blobs.open_local(stack.pixels_key))
                reader = opened.enter_context(RetainedReader(path))
            except StoreError as error:
                self._left_out.add(f"{name}: {error}")
                return
            with closing(in_order(partial(_read, reader), range(len(keys)), self._workers)) as read:
                for position, (key, hu) in enumerate(zip(keys, read, strict=True)):
                    rows = self._boxes.of(key) if self._boxes is not None else []
                    if isinstance(hu, str):
                        self._left_out.add(f"{name}: {hu}")
                        continue
                    yield SourceSlice(
                        hu,
                        given or stack.patient or stack.study_uid,
                        name,
                        position,
                        tuple(row.box for row in rows),
                        next((row.label for row in rows if row.label), ""),
                        float(spacing[1]) if spacing else 0.0,
                    )


def _read(reader: RetainedReader, index: int) -> NDArray[np.int16] | str:
    try:
        return reader.slice(index)
    except (SliceNotKept, BadPixels, OSError) as error:
        return f"slice {index} cannot be read ({error})"
