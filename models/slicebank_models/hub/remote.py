"""A hub that speaks the protocol of huggingface.co, over HTTP, through the hub's own library.

Files come by plain GET requests with ranges, which proxies and mirrors understand, into a file of ours: so a cut
transfer goes on where it broke, also in a later process. The token is the library's own (HF_TOKEN or its file); it is
sent to the hub alone, and written and logged nowhere here.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from huggingface_hub import HfApi, get_token, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import HfFileMetadata, get_hf_file_metadata, http_get
from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]
from huggingface_hub.utils.logging import set_verbosity_error

from slicebank_models.errors import HubAccessDenied, HubOffline, HubUnreachable, NotOnHub
from slicebank_models.hub.access import HubAccess, HubFile, OnBytes
from slicebank_models.hub.terms import Terms
from slicebank_models.weights_source import DATASETS

_SHA256 = re.compile(r"[0-9a-f]{64}")
# The library's HTTP client has changed between its versions, and with it the class of errors that are none of its own.
_TRANSPORT_ERRORS: tuple[type[Any], ...] = (HfHubHTTPError.__mro__[1], OSError)
# As httpx and requests call them.
_NOBODY_THERE = frozenset({"ConnectError", "ConnectTimeout", "ConnectionError"})
PART_SUFFIX = ".part"
_ASK_SECONDS = 20.0


class RemoteHub:
    """A hub at an address.

    Args:
        endpoint: Its address; None for the library's own choice.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self.name = HubAccess(endpoint).address
        disable_progress_bars()  # callers draw their own
        set_verbosity_error()  # type: ignore[no-untyped-call]  # its warnings name signed addresses

    def find(self, repo: str, file: str, revision: str) -> HubFile | None:
        """Looks a file up; see `Hub.find`."""
        try:
            with self._told(repo, revision, file):
                found = self._ask(repo, file, revision)
        except NotOnHub as error:
            if isinstance(error.__cause__, EntryNotFoundError):
                return None
            raise
        return _described(found, revision)

    def read(self, repo: str, file: str, revision: str, most: int) -> bytes:
        """Reads a small file; see `Hub.read`."""
        with self._told(repo, revision, file):
            found = self._ask(repo, file, revision)
            if found.size is not None and found.size > most:
                raise NotOnHub(f"{file} of {repo} is larger than the {most} bytes that such a file has.")
            content = _Bounded(most)
            http_get(found.location, content, headers=self._headers(found), expected_size=found.size)
        return content.getvalue()

    def fetch(self, repo: str, file: str, revision: str, target: Path, on_bytes: OnBytes) -> HubFile:
        """Brings a file to `target`; see `Hub.fetch`."""
        part = target.with_name(target.name + PART_SUFFIX)
        with self._told(repo, revision, file):
            found = self._ask(repo, file, revision)
            begun = _begun(part, found)
            with part.open("r+b" if begun else "wb") as stream:
                stream.seek(begun)
                counted = _Counted(stream, begun, found.size or 0, on_bytes)
                http_get(
                    found.location,
                    cast(BinaryIO, counted),
                    resume_size=begun,
                    headers=self._headers(found),
                    expected_size=found.size,
                    displayed_filename=target.name,
                )
        if found.size is not None and part.stat().st_size != found.size:
            part.unlink()
            raise HubUnreachable(f"{self.name} sent {file} of {repo} in another size than it said; pull it again.")
        _about(part).unlink()
        part.replace(target)
        return _described(found, revision)

    def terms(self, repo: str, revision: str) -> Terms:
        """What a repository says of its licence; see `Hub.terms`."""
        with self._told(repo, revision, None):
            name, kind = _kind(repo)
            info: Any = HfApi(endpoint=self._endpoint).repo_info(
                name, repo_type=kind, revision=revision, timeout=_ASK_SECONDS
            )
        card: Any = info.card_data or {}
        licence = str(card.get("license_name") or card.get("license") or "")
        return Terms(licence, str(card.get("license_link") or f"{self.name}/{repo}"), bool(info.gated))

    def _ask(self, repo: str, file: str, revision: str) -> HfFileMetadata:
        name, kind = _kind(repo)
        url = hf_hub_url(name, file, repo_type=kind, revision=revision, endpoint=self._endpoint)
        return get_hf_file_metadata(url, timeout=_ASK_SECONDS)

    def _headers(self, found: HfFileMetadata) -> dict[str, str]:
        headers = build_hf_headers()
        if urlsplit(found.location).netloc != urlsplit(self.name).netloc:
            headers.pop("authorization", None)  # files lie at hosts of others, behind signed addresses
        return headers

    @contextmanager
    def _told(self, repo: str, revision: str, file: str | None) -> Iterator[None]:
        """Turns the library's errors into sentences that say what to do."""
        what = f"{file} of {repo}" if file else repo
        try:
            yield
        except EntryNotFoundError as error:
            raise NotOnHub(f"{repo} has no file {file} at revision {revision}.") from error
        except RevisionNotFoundError as error:
            raise NotOnHub(f"{repo} has no revision {revision}.") from error
        except GatedRepoError as error:
            raise HubAccessDenied(self._gate(repo)) from error
        except RepositoryNotFoundError as error:
            raise HubAccessDenied(
                f"{self.name} shows no repository {repo} to us: check its name, or, where it is private or its terms must be "
                f"accepted, {self._door(repo)}"
            ) from error
        except OfflineModeIsEnabled as error:
            raise HubOffline("HF_HUB_OFFLINE is set, so nothing is fetched; unset it, or use a file.") from error
        except FileMetadataError as error:
            raise HubUnreachable(
                f"{self.name} does not answer as a hub does about {what}: check SLICEBANK_HUB_ENDPOINT and proxies."
            ) from error
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise HubAccessDenied(self._gate(repo)) from error
            raise HubUnreachable(f"{self.name} answered with status {status} about {what}; try again later.") from error
        except _TRANSPORT_ERRORS as error:
            if getattr(error, "errno", None):
                raise  # of a disk of this machine
            # The sentence of the library may hold a signed address.
            if type(error).__name__ in _NOBODY_THERE:
                raise HubUnreachable(
                    f"{self.name} cannot be reached ({type(error).__name__}): check network and proxies, name a mirror in "
                    f"SLICEBANK_HUB_ENDPOINT, or bring {what} on a disk and register it with `slicebank encoders add`."
                ) from error
            raise HubUnreachable(
                f"{self.name} did not give {what} ({type(error).__name__}); what came is kept: pull again to go on, or "
                "name a mirror in SLICEBANK_HUB_ENDPOINT."
            ) from error

    def _gate(self, repo: str) -> str:
        return f"The owner of {repo} wants its terms accepted first: {self._door(repo)}"

    def _door(self, repo: str) -> str:
        page = f"{self.name}/{repo}"
        if get_token() is None:
            return f"accept them at {page} with an account, make a token at {self.name}/settings/tokens, and set it as HF_TOKEN."
        return f"accept them at {page} with the account of the token that is set; the token must be allowed to read it."


class _Counted:
    """A file that tells how far it is while it is written."""

    def __init__(self, stream: BinaryIO, begun: int, total: int, on_bytes: OnBytes) -> None:
        self._stream = stream
        self._total = total
        self._on_bytes = on_bytes
        on_bytes(begun, total)

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self._on_bytes(self._stream.tell(), self._total)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bounded(BytesIO):
    """Bytes in memory, up to a number."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most:
            raise NotOnHub(f"A file is larger than the {self._most} bytes that such a file has.")
        return super().write(data)


def _described(found: HfFileMetadata, revision: str) -> HubFile:
    # Of files in large-file storage the ETag is the sha256, of others a git blob's name.
    sha256 = found.etag if found.etag is not None and _SHA256.fullmatch(found.etag) else ""
    return HubFile(found.size or 0, sha256, found.commit_hash or revision)


def _kind(repo: str) -> tuple[str, str]:
    return repo.removeprefix(DATASETS), "dataset" if repo.startswith(DATASETS) else "model"


def _about(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _begun(part: Path, found: HfFileMetadata) -> int:
    """Bytes that an earlier try left of the very same file; notes what file it is."""
    about = {"etag": found.etag, "size": found.size}
    try:
        same = json.loads(_about(part).read_text(encoding="utf-8")) == about and found.etag is not None
        size = part.stat().st_size if same else 0
    except (OSError, ValueError):
        size = 0
    if found.size is not None and size > found.size:
        size = 0
    _about(part).write_text(json.dumps(about), encoding="utf-8")
    return size
