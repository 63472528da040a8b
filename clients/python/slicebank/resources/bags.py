"""`client.bags`: the banks of embeddings, as files and as arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Literal

from slicebank.bagfile import load_bag
from slicebank.errors import PathNotFound
from slicebank.records import Bag, BagArrays, decode
from slicebank.resources.download import download
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.transport import Transport
from slicebank.upload.bodies import file_bytes
from slicebank.upload.discover import SourceFile

BagFormat = Literal["h5", "npz", "pt", "parquet"]


class BagsResource:
    """Bags: list, look up, download, load, and bring those made elsewhere."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        series_uid: str | None = None,
        study_uid: str | None = None,
        encoder: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Bag]:
        """Walk the bags of the project, newest first."""
        query = {"series_uid": series_uid, "study_uid": study_uid, "encoder": encoder}
        return paged(self._transport, "/v1/bags", Bag, query, limit=limit)

    def get(self, bag_id: str) -> Bag:
        """The metadata of one bag.

        Raises:
            NotReady: it is being made; `job_id` of the error says by which job.
            NotFound: no such bag.
        """
        return decode(Bag, self._transport.get(f"/v1/bags/{url_part(bag_id)}"))

    def bring(
        self,
        path: str | PathLike[str],
        encoder: str,
        *,
        series_uid: str | None = None,
        study_uid: str | None = None,
        patient: str | None = None,
    ) -> Bag:
        """Send a bag made elsewhere, HDF5 as STAMP, TRIDENT or CLAM write it; heads learn from it like from our own.

        Sending it again changes nothing.

        Args:
            path: the file.
            encoder: `external:NAME`; all bags of a name have rows of one length.
            series_uid: series that it is of; made up of its values otherwise.
            study_uid: StudyInstanceUID.
            patient: PatientID, hashed on arrival; the study stands for the patient otherwise.

        Raises:
            PathNotFound: no such file.
            InvalidRequest: code `bad_foreign_bag`; the sentence says what is wrong with the file.
            Conflict: code `bag_conflict`; the series has another bag of this name, or the name rows of another length.
        """
        chosen = Path(path).expanduser()
        try:
            found = chosen.stat()
        except OSError as error:
            raise PathNotFound(f"{chosen} cannot be read: {error.strerror or error}.") from error
        file = SourceFile(chosen, chosen.name, found.st_size, found.st_mtime_ns)
        query = {"encoder": encoder, "series_uid": series_uid, "study_uid": study_uid, "patient": patient}
        answer = self._transport.send_stream(
            "/v1/bags", lambda: file_bytes(file), length=file.size, content_type="application/x-hdf5", query=query
        )
        return decode(Bag, answer)

    def delete(self, bag_id: str) -> None:
        """Remove a bag; the series stays. Removing it twice is no error."""
        self._transport.send("DELETE", f"/v1/bags/{url_part(bag_id)}")

    def download(
        self,
        bag_id: str,
        path: str | PathLike[str] | None = None,
        format: BagFormat = "h5",  # noqa: A002 - the word of the REST interface
        *,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Path:
        """Save a bag's file; it appears under its name only when it is complete and its checksum is right.

        Args:
            bag_id: the bag.
            path: file to write, or a folder to put `<bag_id>.<format>` into; the current folder otherwise.
            format: "h5", the file as the server keeps it, "npz", the same arrays for numpy, "pt", the rows as a tensor, or "parquet".
            on_progress: called with the bytes so far and the bytes of the whole (0 when not known).

        Returns:
            The file written.

        Raises:
            NotReady: the bag is being made.
            ChecksumMismatch: what arrived is not what the server holds.
        """
        bag = self.get(bag_id)
        target = Path.cwd() if path is None else Path(path).expanduser()
        if target.is_dir():
            target = target / f"{bag.bag_id}.{format}"
        download(
            self._transport,
            f"/v1/bags/{url_part(bag_id)}/file",
            target,
            query={"format": format},
            sha256=bag.sha256 if format == "h5" else None,
            zipped=format != "parquet",
            on_progress=on_progress,
        )
        return target

    def load(self, bag_id: str) -> BagArrays:
        """Download a bag and read it into numpy arrays; no file is left behind.

        Raises:
            MissingExtra: h5py is not installed.
            NotReady: the bag is being made.
        """
        with tempfile.TemporaryDirectory(prefix="slicebank-") as folder:
            return load_bag(self.download(bag_id, folder))
