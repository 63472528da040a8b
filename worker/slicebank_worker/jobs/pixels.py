"""Where the slices of a job come from, and where they are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.pixels import CTSlice, SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.windows import PADDING_HU
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.errors import BadPixels, BlobMissing, SliceNotKept, UploadMissing
from slicebank_store.retained import RetainedReader, RetainedWriter
from slicebank_store.types import JSON, PixelSource
from slicebank_worker.errors import PixelsMissing, StagingMissing
from slicebank_worker.runtime import Runtime

LoadSlice = Callable[[int], CTSlice]
"""Gives slice i of the stack; may be called from several threads; raises ImagingError."""


@contextmanager
def open_slices(runtime: Runtime, job: JobRecord, manifest: JSON) -> Iterator[LoadSlice]:
    """The slices of a job, from its upload or from kept pixels.

    Raises:
        StagingMissing: the upload is gone.
        PixelsMissing: the kept pixels are gone or damaged.
    """
    refs = [SliceRef.from_dict(value) for value in manifest["slices"]]
    if PixelSource(job.params["source"]) is PixelSource.KEPT:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(runtime.blobs.open_local(manifest["pixels_key"]))
                reader = stack.enter_context(RetainedReader(path))
            except (BlobMissing, BadPixels) as error:
                raise PixelsMissing("the kept pixels of this series cannot be read; upload it again") from error
            yield lambda index: _kept_slice(reader, refs[index], index)
        return
    try:
        loader = SliceLoader(runtime.staging.path(job.staging or ""))
    except UploadMissing as error:
        raise StagingMissing(str(error)) from error
    yield lambda index: loader.load(refs[index])


def _kept_slice(reader: RetainedReader, ref: SliceRef, index: int) -> CTSlice:
    try:
        stored = reader.slice(index)
    except SliceNotKept as error:
        raise DecodeFailed(str(error)) from error
    padding = None if ref.padding is None else (int(PADDING_HU), int(PADDING_HU))
    return CTSlice(stored, slope=1.0, intercept=0.0, padding=padding)


class PixelKeeper:
    """Keeps the slices of a stack as they are loaded."""

    def __init__(self, path: Path, manifest: JSON) -> None:
        self.path = path
        self._writer = RetainedWriter(
            path, n_slices=len(manifest["slices"]), rows=manifest["rows"], columns=manifest["columns"]
        )
        self._lock = threading.Lock()
        self._open = True

    def through(self, load: LoadSlice) -> LoadSlice:
        """A loader that keeps every slice it gives."""

        def load_and_keep(index: int) -> CTSlice:
            ct = load(index)
            hu = ct.hounsfield()
            with self._lock:
                if self._open:  # a slice that was decoding when the job ended
                    self._writer.write(index, hu)
            return ct

        return load_and_keep

    def close(self) -> Path:
        """Finishes the file."""
        with self._lock:
            self._open = False
            self._writer.close()
        return self.path

    def abandon(self) -> None:
        """Lets go of the file if it was not finished."""
        with self._lock:
            if self._open:
                self._open = False
                self._writer.abandon()
