"""Blobs in an S3 bucket."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from slicebank_store.blobs.failures import mapped_os_errors
from slicebank_store.blobs.keys import check_key
from slicebank_store.blobs.protocol import Unfinished
from slicebank_store.errors import BlobMissing, BlobsFull, BlobsUnavailable, StoreError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

# A part of an upload and of a download: at least the 5 MiB that S3 asks of a part, and 10,000 of them are 80 GiB.
_PART_BYTES = 8 << 20
# Parts of one upload under way at once: 32 MiB of memory, and enough to fill 1 Gbit/s.
_PARTS_AT_ONCE = 4
# Names a page of a listing; S3 gives no more at once.
_PAGE = 1000

# Seconds until a connection is there; a host in the same region answers within milliseconds.
_CONNECT_S = 3
# Seconds of one request, its body included: 32 MiB in parts need 9 Mbit/s. A silent server costs this much.
_REQUEST_S = 30
# A lost connection or a 5xx is tried again with pauses of 0.1 s, 0.2 s and so on: 3 tries pass over a restarted gateway.
# Longer outages are the callers' matter: jobs wait, requests answer 503.
_RETRIES = 3
# No further try begins this long after the first: together at most 50 s, when every try hangs.
_RETRY_S = 20

# What S3 services answer when there is no room: HTTP 507; MinIO, Ceph and SeaweedFS also by these codes.
_FULL = re.compile(
    r"\b507 Insufficient Storage|QuotaExceeded|StorageFull|InsufficientStorage|no space left|no free volumes",
    re.IGNORECASE,
)
_ERROR_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_ANOTHER_BUCKET = "NoSuchBucket"


class S3Blobs:
    """An object per blob below one prefix of a bucket.

    S3 shows an object when its upload is complete. An upload that dies with its process leaves parts behind which no
    listing shows; a lifecycle rule of the bucket removes them (docs/upkeep.md).
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        region: str,
        endpoint: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        """Prepares a client; nothing is sent yet.

        Args:
            bucket: its name; it must exist.
            prefix: folder of all keys, without slashes at its ends.
            region: of the bucket.
            endpoint: address of the service; None is Amazon's. Only an address that says http:// is not encrypted.
            access_key_id: None takes AWS's own variables, or the role of the machine.
            secret_access_key: of that key.
        """
        config: dict[str, Any] = {
            "endpoint": endpoint,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
        }
        client: ClientConfig = {
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "timeout": timedelta(seconds=_REQUEST_S),
        }
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)}
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            region=region,
            client_options=client,
            retry_config=retry,
            **{name: value for name, value in config.items() if value is not None},
        )

    def put_file(self, key: str, local: Path) -> int:
        """Stores a copy of a local file, replacing what was under the key; its size in bytes."""
        check_key(key)
        with local.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with _asking(key):
                # The signature of each request carries the SHA-256 of its body, which the server compares.
                obstore.put(self._store, key, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        return self._check_size(key, size)

    def put_bytes(self, key: str, data: bytes) -> int:
        """Stores bytes, replacing what was under the key; their count."""
        check_key(key)
        size = memoryview(data).nbytes
        with _asking(key):
            obstore.put(self._store, key, data, use_multipart=False)
        return self._check_size(key, size)

    @contextmanager
    def open_local(self, key: str) -> Iterator[Path]:
        """A copy of the blob in a private temporary folder, removed afterwards.

        There is no cache: who reads a bag many times (training) keeps its rows in memory, and a copy on disk would
        outlive the deletion of its series.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        check_key(key)
        with ExitStack() as stack:
            with mapped_os_errors(f"a copy of {key}"):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slicebank-")))
                path = folder / key.rpartition("/")[2]
                with path.open("wb") as file:
                    for part in self._parts(key):
                        file.write(part)
            yield path

    @contextmanager
    def open_reader(self, key: str) -> Iterator[ObjectReader]:
        """The blob, to be read in parts without fetching the rest.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        meta = self._head(key)
        yield ObjectReader(self._store, key, meta["size"], meta["e_tag"])

    def size(self, key: str) -> int:
        """Bytes of the blob.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        return self._head(key)["size"]

    def exists(self, key: str) -> bool:
        """Whether something is stored under the key."""
        try:
            self._head(key)
        except BlobMissing:
            return False
        return True

    def delete(self, key: str) -> bool:
        """Removes the blob; False where there was none."""
        if not self.exists(key):  # S3 does not say whether it removed anything
            return False
        with _asking(key):
            obstore.delete(self._store, key)
        return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with a text, page by page in the server's order."""
        # S3 clients list by folders: the rest of the text is compared here.
        folder = prefix.rpartition("/")[0]
        with _asking(prefix or "the bucket"):
            for page in obstore.list(self._store, folder or None, chunk_size=_PAGE):
                for meta in page:
                    if meta["path"].startswith(prefix):
                        yield meta["path"]

    def sweep_unfinished(self, *, older_than_s: float, dry_run: bool = False) -> Iterator[Unfinished]:
        """Nothing: the S3 client shows no unfinished uploads, which a lifecycle rule of the bucket removes."""
        return iter(())

    def _parts(self, key: str) -> Iterator[bytes]:
        """The blob from its beginning to its end: one request for a small one, one a part for a larger one."""
        with _asking(key):
            answer = obstore.get(self._store, key)
            size, etag = answer.meta["size"], answer.meta["e_tag"]
            if size <= _PART_BYTES:
                yield bytes(answer.bytes())
                return
        # Unread, the answer is broken off: requests are bounded in time, and so must be bounded in bytes.
        del answer
        reader = ObjectReader(self._store, key, size, etag)
        for start in range(0, size, _PART_BYTES):
            yield reader.read(start, _PART_BYTES)

    def _head(self, key: str) -> ObjectMeta:
        check_key(key)
        with _asking(key):
            return obstore.head(self._store, key)

    def _check_size(self, key: str, size: int) -> int:
        """Compares what arrived with what was sent, because not every S3 service checks the SHA-256 of a request."""
        found = self.size(key)
        if found != size:
            self.delete(key)
            msg = (
                f"S3 kept {found} of {size} bytes of {key}, which was removed again: try again, and see the S3 service."
            )
            raise BlobsUnavailable(msg)
        return size


class ObjectReader:
    """One object as it was when it was opened. Any thread may call it."""

    def __init__(self, store: S3Store, key: str, size: int, etag: str | None) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._etag = etag

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._size

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer than `length` only where the object ends.

        Raises:
            BlobMissing: it was removed or replaced since it was opened.
        """
        end = min(start + length, self._size)
        if start >= end:
            return b""
        with _asking(self._key):
            # The tag keeps parts of two objects from being put together.
            options: GetOptions = {"range": (start, end), "if_match": self._etag}
            return bytes(obstore.get(self._store, self._key, options=options).bytes())


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turns what the S3 client raises into the store's errors."""
    try:
        yield
    except (FileNotFoundError, PreconditionError) as error:
        if _ANOTHER_BUCKET in str(error):
            raise _unavailable(what, error) from error
        msg = f"Nothing is stored under {what}: it was deleted, or the bucket is not the one the catalogue belongs to."
        raise BlobMissing(msg) from error
    except (BaseError, OSError) as error:
        raise _unavailable(what, error) from error


def _unavailable(what: str, error: Exception) -> StoreError:
    text = str(error)
    found = _ERROR_CODE.search(text)
    if _FULL.search(text):
        return BlobsFull(f"S3 has no room for {what}: free or add space, or raise the bucket's quota.")
    if found is not None and found[1] == _ANOTHER_BUCKET:
        return BlobsUnavailable("The bucket of SLICEBANK_BLOBS_URL does not exist: make it, or correct the setting.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        reason = f" ({found[1]})" if found else ""
        return BlobsUnavailable(f"S3 refuses access to {what}{reason}: see the S3 key in the settings and its rights.")
    # The client's own text names the address and the request, but also runs over many lines.
    reason = found[1] if found else text.partition("\n")[0][:200]
    return BlobsUnavailable(
        f"S3 does not answer as it should for {what} ({reason}): see the S3 service and its address."
    )
