"""From the slices of a stack to a bag; and keeping slices without one."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.resize import Interpolation
from slicebank_imaging.windows import Window
from slicebank_store.bags import BagFile, BagHeader, BagSlice, BagWriter, SkippedSlice
from slicebank_store.blobs.keys import bag_key, pixels_key
from slicebank_store.catalogue.records import BagRecord, JobRecord
from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel, JobKind, Priority
from slicebank_worker import __version__
from slicebank_worker.engine import EncoderKey, RowStream
from slicebank_worker.engine.rows import RowSpec
from slicebank_worker.engine.series import EncodedSlice, SeriesEncoder
from slicebank_worker.jobs.missing import MissingSlices
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.jobs.pixels import LoadSlice, PixelKeeper, open_slices
from slicebank_worker.jobs.scan import ScanJob
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


class Embedder:
    """Runs embed jobs, and import jobs of uploads whose pixels are only kept."""

    def __init__(self, runtime: Runtime, series: SeriesEncoder) -> None:
        self._runtime = runtime
        self._series = series

    def run(self, hold: Hold) -> bool:
        """Runs one job and commits what it made under its lease."""
        job = hold.lease.job
        if job.kind is JobKind.EMBED and job.bag_id is not None:
            made = self._runtime.catalogue.bags.get(job.project, job.bag_id)
            if made is not None:  # never computed twice
                return self._commit(hold, _result(made), put={})
        manifest = self._runtime.catalogue.jobs.manifest(job.job_id)
        with ExitStack() as stack:
            load = stack.enter_context(open_slices(self._runtime, job, manifest))
            keeper: PixelKeeper | None = None
            if job.kind is JobKind.IMPORT or job.params["retain"]:
                keeper = PixelKeeper(self._part(stack, f"{job.job_id}.pixels"), manifest)
                stack.callback(keeper.abandon)
                load = keeper.through(load)
            if job.kind is JobKind.IMPORT:
                skipped = self._load_all(hold, load, manifest)
                result: JSON = {"series": job.series_uid, "skipped": [item.as_dict() for item in skipped]}
                return self._finish(hold, manifest, result, keeper, None, None)
            recipe = Recipe.from_dict(job.params["recipe"])
            part = self._part(stack, f"{job.job_id}.bag")
            file = self._encode(hold, load, manifest, recipe, part)
            bag = self._bag_record(job, manifest, recipe, file, hold.lease.fence)
            return self._finish(hold, manifest, _result(bag), keeper, bag, file)

    def _encode(self, hold: Hold, load: LoadSlice, manifest: JSON, recipe: Recipe, part: Path) -> BagFile:
        job = hold.lease.job
        header = BagHeader.from_manifest(
            manifest,
            name=job.bag_id or "",
            level=BagLevel(job.params["level"]),
            recipe=recipe,
            software=f"slicebank {__version__}",
            created_at=time.time(),
        )
        n_windows = max(1, len(recipe.windows))
        writer = BagWriter(part, header, n_slices=len(header.slices), n_windows=n_windows, dim=job.params["dim"])
        key = EncoderKey(recipe.encoder, recipe.weights_digest, recipe.precision)
        missing = MissingSlices(header.slices, self._runtime.settings.missing_share)
        with self._series.engine.stream(key, interactive=job.priority is Priority.INTERACTIVE) as stream:
            if recipe.volume is None:
                padding_pixels = self._encode_slices(hold, load, recipe, stream, writer, missing)
            else:
                scan = ScanJob(self._series, hold, thumbnails=self._runtime.settings.thumbnails)
                padding_pixels = scan.encode(load, manifest, recipe.volume, stream, writer, missing)
        rescale = {**manifest["rescale"], "padding_pixels": padding_pixels}
        with hold.stage("write_s"):
            return writer.close(self._series.engine.numerics(key), missing.skipped, rescale=rescale)

    def _encode_slices(
        self,
        hold: Hold,
        load: LoadSlice,
        recipe: Recipe,
        stream: RowStream,
        writer: BagWriter,
        missing: MissingSlices,
    ) -> int:
        """Writes the rows of every slice; gives how many pixels were padding."""
        spec = RowSpec(
            windows=tuple(Window(w.name, w.low, w.high) for w in recipe.windows),
            size=recipe.size,
            hounsfield=recipe.input_kind == "hu",
            thumbnails=self._runtime.settings.thumbnails,
            interpolation=Interpolation.of_resize(recipe.resize),
        )
        n_slices, padding_pixels = missing.n_slices, 0
        for done, item in enumerate(self._series.run(load, n_slices, spec, stream), start=1):
            hold.check()
            hold.progress(done, n_slices, "slices")
            if isinstance(item, EncodedSlice):
                writer.append_slice(item.index, item.features, item.thumbnail)
                padding_pixels += item.padding_pixels
                for name, seconds in asdict(item.times).items():
                    hold.add(name, seconds)
            else:
                missing.add(item.index, item.detail)
        return padding_pixels

    def _load_all(self, hold: Hold, load: LoadSlice, manifest: JSON) -> list[SkippedSlice]:
        """Loads every slice once, for whoever keeps it on the way."""
        slices = tuple(BagSlice.from_dict(value) for value in manifest["slices"])
        missing = MissingSlices(slices, self._runtime.settings.missing_share)
        for index in range(len(slices)):
            hold.check()
            try:
                with hold.stage("decode_s"):
                    load(index)
            except ImagingError as error:
                missing.add(index, str(error))
            hold.progress(index + 1, len(slices), "slices")
        return missing.skipped

    def _bag_record(self, job: JobRecord, manifest: JSON, recipe: Recipe, file: BagFile, fence: int) -> BagRecord:
        bag_id = job.bag_id or ""
        return BagRecord(
            project=job.project,
            bag_id=bag_id,
            series_uid=manifest["series_uid"],
            study_uid=manifest["study_uid"],
            patient=manifest["patient"],
            revision=manifest["revision"],
            stack=manifest["stack"],
            encoder=recipe.encoder,
            recipe=recipe.as_dict(),
            recipe_digest=recipe.digest,
            weights_digest=recipe.weights_digest,
            content_digest=manifest["content_digest"],
            level=BagLevel(job.params["level"]),
            n_rows=file.n_rows,
            n_slices=file.n_slices,
            dim=job.params["dim"],
            dtype="float32",
            windows=recipe.as_dict()["windows"],
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            blob_key=bag_key(job.project, recipe.encoder, bag_id, job.job_id, fence),
            created_at=time.time(),
            skipped=[item.as_dict() for item in file.skipped],
        )

    def _finish(
        self,
        hold: Hold,
        manifest: JSON,
        result: JSON,
        keeper: PixelKeeper | None,
        bag: BagRecord | None,
        file: BagFile | None,
    ) -> bool:
        """Stores the files that were made, then commits them with the job's end."""
        job = hold.lease.job
        put: dict[str, Path] = {}
        key = None
        if keeper is not None:
            key = pixels_key(job.project, job.job_id, hold.lease.fence)
            put[key] = keeper.close()
        if bag is not None and file is not None:
            put[bag.blob_key] = file.path
        hold.report()
        return self._commit(hold, result, put=put, bag=bag, pixels=key)

    def _commit(
        self, hold: Hold, result: JSON, *, put: dict[str, Path], bag: BagRecord | None = None, pixels: str | None = None
    ) -> bool:
        with hold.stage("write_s"):
            for key, path in put.items():
                patiently(hold, partial(self._runtime.blobs.put_file, key, path))
        succeed = partial(self._runtime.catalogue.jobs.succeed, hold.lease, result, bag=bag, pixels_key=pixels)
        committed = patiently(hold, partial(succeed, stages=hold.stages))
        if not committed:
            for key in put:
                self._runtime.blobs.delete(key)
        return committed

    def _part(self, stack: ExitStack, name: str) -> Path:
        """A file in the making, gone when the job ends in any way."""
        path = self._runtime.scratch / name
        stack.callback(path.unlink, missing_ok=True)
        return path


def _result(bag: BagRecord) -> JSON:
    return {"bag_id": bag.bag_id, "series_uid": bag.series_uid, "n_rows": bag.n_rows, "skipped": bag.skipped}
