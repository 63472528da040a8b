"""`client.exports`: a cohort as a folder that STAMP, TRIDENT, CLAM or CLEAR reads, or as Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from slicebank.errors import ConnectionFailed, RequestTimedOut, UnexpectedAnswer
from slicebank.exports import ExportFolder, members
from slicebank.exports.folder import SUMS
from slicebank.labels import labels_payload
from slicebank.records import Export, ExportProgress
from slicebank.state import digest_of
from slicebank.transport import Transport

Layout = Literal["stamp", "trident", "clam", "clear", "parquet"]

OnExport = Callable[[ExportProgress], object]

# A server looks thousands of bags up before the first byte.
_IDLE_SECONDS = 300.0


class ExportsResource:
    """Exports: fetch a cohort into a folder."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def save(
        self,
        layout: Layout,
        folder: str | PathLike[str],
        *,
        encoder: str | None = None,
        recipe_digest: str | None = None,
        labels: str | PathLike[str] | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        strict: bool = False,
        thumbnails: bool = False,
        attention_of: str | None = None,
        on_progress: OnExport | None = None,
    ) -> Export:
        """Fetches the bags of an encoder, or those that labels name, with the tables that the layout's readers expect.

        A file appears under its name when it is whole; the tables come last and together. After an interruption the same call goes on, and
        later it brings what is new and removes what is no longer of the cohort.

        Args:
            layout: whose folder it becomes.
            folder: an empty one, or that of the same export.
            encoder: whose bags; the server's default otherwise.
            recipe_digest: recipe of the bags, where the encoder has bags of several.
            labels: as for `heads.train`.
            strict: refuse rows of the labels that name no bag.
            thumbnails: keep the pictures of the slices; those of a head can show a face.
            attention_of: Parquet: a head, whose attention becomes a column.
            on_progress: called after each bag.

        Raises:
            InputError: the folder holds something else, or cannot be written.
            InvalidRequest: nothing to export, or labels that the tables cannot hold.
            ChecksumMismatch: a file did not arrive as it was sent; the same call fetches it again.
        """
        asked = {
            "layout": layout,
            "encoder": encoder,
            "recipe_digest": recipe_digest,
            "thumbnails": thumbnails,
            "attention_of": attention_of,
        }
        # Labels may change between two calls: they choose files, and decide nothing in them.
        key = digest_of(*(f"{name}={value}" for name, value in asked.items()))
        body: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        if labels is not None:
            body |= {"labels": labels_payload(labels), "strict": strict}
        known = -1
        while True:
            target = ExportFolder(Path(folder).expanduser(), layout, key)
            try:
                return self._fetch(target, layout, body, on_progress)
            except (ConnectionFailed, RequestTimedOut, UnexpectedAnswer) as error:
                # A cut connection is gone on with as long as each try brings something.
                have = len(ExportFolder(target.root, layout, key).bags)
                if have <= known or not have:
                    error.hint = "The same call, or command, goes on where it stopped."
                    raise
                known = have

    def _fetch(self, target: ExportFolder, layout: str, body: dict[str, Any], on_progress: OnExport | None) -> Export:
        sums: str | None = None
        came: set[str] = set()
        received = 0
        query = {**body, "skip": sorted(target.bags)}
        with self._transport.stream(
            "/v1/exports", method="POST", body=query, accept="application/x-tar", idle_seconds=_IDLE_SECONDS
        ) as response:
            total = int(response.headers.get("x-slicebank-bags", "0"))
            unmatched = int(response.headers.get("x-slicebank-unmatched", "0"))
            for member in members(response.iter_bytes()):
                received += member.size
                if member.name == SUMS:
                    sums = b"".join(member.blocks()).decode()
                elif member.bag_id:
                    target.take(member)
                    came.add(member.bag_id)
                    if on_progress is not None:
                        on_progress(ExportProgress(min(total, len(target.bags) + len(came)), total, received))
                else:
                    target.take_table(member)
        if sums is None:
            raise UnexpectedAnswer("The export ended before its checksums had come.")
        manifest = target.finish(sums)
        return Export(
            folder=target.root,
            layout=layout,
            encoder=str(manifest["encoder"]),
            n_bags=len(manifest["bags"]),
            n_sent=len(came),
            n_unmatched=unmatched,
            left_out=tuple(manifest["left_out"]),
            raw=manifest,
        )
