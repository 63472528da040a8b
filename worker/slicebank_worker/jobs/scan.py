"""From the slices of a stack to the one row of a scan: read once, laid into a volume, encoded as a whole."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import asdict
from functools import partial

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.volume import VolumeBuilder
from slicebank_imaging.volume_frame import StackPlace, VolumeFrame
from slicebank_store.bags import BagWriter
from slicebank_store.types import JSON
from slicebank_worker.engine import RowStream
from slicebank_worker.engine.parcels import Encoded, Rows
from slicebank_worker.engine.planes import prepare_plane
from slicebank_worker.engine.series import ReadSlice, SeriesEncoder
from slicebank_worker.errors import DecodeShare
from slicebank_worker.jobs.missing import MissingSlices
from slicebank_worker.jobs.pixels import LoadSlice
from slicebank_worker.leases import Hold

# How soon a cancelled job lets go while its scan is on the device, which may take a minute on a CPU.
_CHECK_S = 0.2


class ScanJob:
    """Encodes one scan under one hold. Memory: its volume and a few slices."""

    def __init__(self, series: SeriesEncoder, hold: Hold, *, thumbnails: bool) -> None:
        """Starts with nothing read.

        Args:
            series: the process's series encoder.
            hold: of the job; its last slice counts as done when the scan is encoded.
            thumbnails: keep a picture of every slice.
        """
        self._series = series
        self._hold = hold
        self._thumbnails = thumbnails

    def encode(
        self,
        load: LoadSlice,
        manifest: JSON,
        volume: JSON,
        stream: RowStream,
        writer: BagWriter,
        missing: MissingSlices,
    ) -> int:
        """Writes the scan's row and the pictures of its slices.

        Args:
            load: gives slice i of the stack.
            manifest: of the job.
            volume: of the recipe.
            stream: the job's place in the engine.
            writer: of the bag.
            missing: takes slices that cannot be decoded; the volume bridges them.

        Returns:
            How many pixels were padding.

        Raises:
            DecodeShare: too few slices could be decoded.
            Interrupted: the job must end.
        """
        hold, n_slices = self._hold, len(manifest["slices"])
        try:
            builder = VolumeBuilder(StackPlace.from_manifest(manifest), VolumeFrame.from_dict(volume))
            padding_pixels = self._read(load, n_slices, builder, writer, missing)
            rows: Rows = builder.finish()[None]
        except ImagingError as error:
            raise DecodeShare(str(error)) from error
        del builder
        encoded = self._wait(self._series.engine.submit(stream, rows))
        hold.add("encode_s", encoded.device_s)
        writer.write_rows(0, encoded.features)
        hold.progress(n_slices, n_slices, "slices")
        return padding_pixels

    def _read(
        self, load: LoadSlice, n_slices: int, builder: VolumeBuilder, writer: BagWriter, missing: MissingSlices
    ) -> int:
        hold, padding_pixels = self._hold, 0
        prepare = partial(prepare_plane, builder=builder, thumbnails=self._thumbnails)
        for item in self._series.read(load, n_slices, prepare):
            hold.check()
            hold.progress(min(item.index + 1, n_slices - 1), n_slices, "slices")
            if not isinstance(item, ReadSlice):
                missing.add(item.index, item.detail)
                continue
            with hold.stage("transform_s"):
                builder.add(item.index, item.prepared.plane)
            if item.prepared.thumbnail is not None:
                writer.set_thumbnail(item.index, item.prepared.thumbnail)
            padding_pixels += item.prepared.padding_pixels
            for name, seconds in asdict(item.times).items():
                hold.add(name, seconds)
        return padding_pixels

    def _wait(self, encoding: Future[Encoded]) -> Encoded:
        """Waits for the device, and lets the job end meanwhile."""
        with self._hold.stage("encode_wait_s"):
            while True:
                try:
                    return encoding.result(_CHECK_S)
                except TimeoutError:
                    if encoding.done():
                        raise
                    self._hold.check()
