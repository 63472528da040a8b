"""Files of git commits, read from clones without checking anything out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class CheckoutProblem(Exception):
    """A clone is missing or lacks the commit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """One file of a commit.

    Attributes:
        path: From the root of the repository, with slashes.
        blob: Git's name of its content.
        size: Bytes; None where the clone lacks the content.
    """

    path: str
    blob: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A clone at one commit.

    Attributes:
        git: Its git directory.
        commit: 40 hexadecimal digits.
    """

    git: Path
    commit: str

    def files(self, below: str = "") -> list[CommittedFile]:
        """All files of the commit whose path begins with a folder, in git's order."""
        listing = self._run("ls-tree", "-r", "-l", "-z", "--full-tree", self.commit, *([below] if below else []))
        files = []
        for entry in filter(None, listing.split(b"\0")):
            about, _, path = entry.partition(b"\t")
            _, kind, blob, size = about.split()
            if kind == b"blob":
                known = int(size) if size.isdigit() else None  # "BAD" where the content is not there
                files.append(CommittedFile(path.decode("utf-8", "replace"), blob.decode(), known))
        return files

    @contextmanager
    def reading(self) -> Iterator[BlobReader]:
        """Reads any number of files through one process of git."""
        command = self._command("cat-file", "--batch")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield BlobReader(process.stdin, process.stdout)

    def has_commit(self) -> bool:
        command = self._command("cat-file", "-e", f"{self.commit}^{{commit}}")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _run(self, *arguments: str) -> bytes:
        return subprocess.run(self._command(*arguments), capture_output=True, check=True).stdout

    def _command(self, *arguments: str) -> list[str]:
        return ["git", f"--git-dir={self.git}", *arguments]


class BlobReader:
    """Contents by blob, over git's batch protocol."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def read(self, file: CommittedFile) -> bytes:
        """The content of a file.

        Raises:
            CheckoutProblem: The clone lacks it.
        """
        self._requests.write(f"{file.blob}\n".encode())
        self._requests.flush()
        head = self._answers.readline().split()
        if len(head) != 3:
            raise CheckoutProblem(f"{file.path} cannot be read: git answers {b' '.join(head).decode()!r}")
        content = self._answers.read(int(head[2]))
        self._answers.read(1)  # a line end
        return content


def open_checkout(checkouts: Path, repository: str, commit: str) -> Checkout:
    """Finds the clone of OWNER/NAME: OWNER+NAME or OWNER/NAME, or `repo` therein; bare or with a work tree.

    Raises:
        CheckoutProblem: There is none, or it lacks the commit.
    """
    owner, _, name = repository.partition("/")
    for folder in (checkouts / f"{owner}+{name}", checkouts / owner / name):
        for place in (folder, folder / "repo"):
            for git in (place / ".git", place):
                if (git / "objects").is_dir() and (git / "HEAD").is_file():
                    checkout = Checkout(git, commit)
                    if not checkout.has_commit():
                        raise CheckoutProblem(
                            f"{git} lacks commit {commit} of {repository}: git --git-dir {git} fetch origin {commit}"
                        )
                    return checkout
    raise CheckoutProblem(
        f"there is no clone of {repository}: "
        f"git clone --bare https://github.com/{repository} {checkouts / f'{owner}+{name}'}"
    )
