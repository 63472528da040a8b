"""A folder that holds repositories: for machines that reach no hub.

A repository is `<folder>/OWNER/NAME/...`, as `hf download --local-dir` writes it, or
`<folder>/models--OWNER--NAME/snapshots/COMMIT/...`, as the hub's library keeps its cache.
"""

import re
from pathlib import Path

from slicebank_models.errors import NotOnHub
from slicebank_models.hub.access import HubFile, OnBytes
from slicebank_models.hub.terms import Terms
from slicebank_models.plain_files import plain_file
from slicebank_models.weights_source import DATASETS

_BLOCK = 8 * 1024 * 1024
_LICENCE = re.compile(r"^license: *([^\n#]+)$", re.MULTILINE)
_FRONT_MATTER = 64 * 1024


class FolderMirror:
    """Repositories below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    def find(self, repo: str, file: str, revision: str) -> HubFile | None:
        """Looks a file up; see `Hub.find`."""
        root, commit = self._root(repo, revision)
        path = plain_file(root, file)
        return None if path is None else HubFile(path.stat().st_size, "", commit)

    def read(self, repo: str, file: str, revision: str, most: int) -> bytes:
        """Reads a small file; see `Hub.read`."""
        path, _ = self._path(repo, file, revision)
        if path.stat().st_size > most:
            raise NotOnHub(f"{file} of {repo} is larger than the {most} bytes that such a file has.")
        return path.read_bytes()

    def fetch(self, repo: str, file: str, revision: str, target: Path, on_bytes: OnBytes) -> HubFile:
        """Copies a file to `target`; see `Hub.fetch`."""
        path, commit = self._path(repo, file, revision)
        size = path.stat().st_size
        with path.open("rb") as source, target.open("wb") as copy:
            on_bytes(0, size)
            while block := source.read(_BLOCK):
                copy.write(block)
                on_bytes(copy.tell(), size)
        return HubFile(size, "", commit)

    def terms(self, repo: str, revision: str) -> Terms:
        """What a repository's README says of its licence; see `Hub.terms`."""
        root, _ = self._root(repo, revision)
        page = plain_file(root, "README.md")
        licence = None
        if page is not None:
            with page.open(encoding="utf-8", errors="replace") as stream:
                licence = _LICENCE.search(stream.read(_FRONT_MATTER))
        return Terms(licence.group(1).strip() if licence else "", f"https://huggingface.co/{repo}", gated=False)

    def _path(self, repo: str, file: str, revision: str) -> tuple[Path, str]:
        root, commit = self._root(repo, revision)
        path = plain_file(root, file)
        if path is None:
            raise NotOnHub(f"The mirror lacks {file} of {repo}; put it at {root / file}.")
        return path, commit

    def _root(self, repo: str, revision: str) -> tuple[Path, str]:
        """Folder of a repository at a revision, and the revision's commit where that is known."""
        kept_as = repo if repo.startswith(DATASETS) else f"models/{repo}"
        cached = self._folder / kept_as.replace("/", "--")
        if cached.is_dir():
            named = plain_file(cached, f"refs/{revision}")
            commit = named.read_text(encoding="utf-8").strip() if named is not None else revision
            root = cached / "snapshots" / commit
            if re.fullmatch(r"[A-Za-z0-9._-]+", commit) and root.is_dir():
                return root, commit
        root = self._folder / repo
        if not root.is_dir():
            raise NotOnHub(f"The mirror has no {repo} at revision {revision}; put its files into {root}.")
        return root, revision
