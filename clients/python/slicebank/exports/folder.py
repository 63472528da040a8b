"""The folder of an export: files appear under their names when they are whole, and a journal tells which bags are there."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slicebank.errors import ChecksumMismatch, InputError
from slicebank.exports.archive import Member

JOURNAL = ".slicebank-export"
SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
_PART = ".part"
# Files of one bag, where a layout has more than one.
_FILES = {"clam": 2}


class ExportFolder:
    """One export on disk. The journal's first line says what was asked for, every other line `SHA256 BAG SIZE PATH` of a file."""

    def __init__(self, root: Path, layout: str, asked: str) -> None:
        """Looks at what is there.

        Args:
            root: the folder; made where it is missing.
            layout: of the export.
            asked: a digest of what decides the content of its files, so that two exports never mix.

        Raises:
            InputError: the folder holds something else, or cannot be written.
        """
        self.root = root
        self._journal = root / JOURNAL
        self._files: dict[str, tuple[str, str]] = {}  # path -> digest, bag
        self._tables: dict[str, str] = {}
        head = f"slicebank export 1 {layout} {asked}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            if self._journal.exists():
                first, *lines = self._journal.read_text(encoding="utf-8").splitlines() or [""]
                if first != head:
                    raise InputError(
                        f"{root} holds another export.",
                        hint="Choose an empty folder, or ask for the same encoder and layout.",
                    )
                self._recall(lines)
            elif any(root.iterdir()):
                raise InputError(
                    f"{root} is not empty.",
                    hint="Choose an empty folder, so that nobody reads files that are not of this export.",
                )
            else:
                self._note(head)
            for leftover in [*root.rglob(f".*{_PART}")]:
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(root, error) from error
        per_bag = _FILES.get(layout, 1)
        counts = Counter(bag for _, bag in self._files.values())
        self.bags = frozenset(bag for bag, count in counts.items() if count == per_bag)
        """Ids of the bags whose files are all there."""

    def take(self, member: Member) -> None:
        """Writes a file of a bag; it has its name when it is whole.

        Raises:
            InputError: it cannot be written.
        """
        target = self.root / member.name
        part, digest = self._write(target, member)
        try:
            part.replace(target)
        except OSError as error:
            raise _unwritable(target, error) from error
        self._files[member.name] = (digest, member.bag_id)
        self._note(f"{digest} {member.bag_id} {member.size} {member.name}")

    def take_table(self, member: Member) -> None:
        """Writes a table, which gets its name in `finish`, with all others.

        Raises:
            InputError: it cannot be written.
        """
        _, self._tables[member.name] = self._write(self.root / member.name, member)

    def finish(self, sums: str) -> dict[str, Any]:
        """Checks what came against the server's checksums, names the tables, and removes files of bags that are not of the export any more.

        Args:
            sums: the last member of the archive, as sha256sum writes it.

        Returns:
            The manifest.

        Raises:
            ChecksumMismatch: a file is not what the server sent; it is gone, and the same call fetches it again.
        """
        for line in sums.splitlines():
            digest, _, name = line.partition("  ")
            here = self._tables.get(name) or self._files.get(name, ("", ""))[0]
            if here != digest:
                (self.root / name).unlink(missing_ok=True)
                raise ChecksumMismatch(
                    f"{name} arrived with the checksum {here or 'of no file'}; the server states {digest}."
                )
        try:
            for name in self._tables:
                self._part(self.root / name).replace(self.root / name)
            manifest: dict[str, Any] = json.loads((self.root / MANIFEST).read_text(encoding="utf-8"))
            wanted = {name for bag in manifest["bags"] for name in bag["files"]}
            for name in [name for name in self._files if name not in wanted]:
                (self.root / name).unlink(missing_ok=True)
                del self._files[name]
            everything = {**{name: digest for name, (digest, _) in self._files.items()}, **self._tables}
            listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(everything.items()))
            whole = self._part(self.root / SUMS)
            whole.write_text(listed, encoding="utf-8")
            whole.replace(self.root / SUMS)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        return manifest

    def _recall(self, lines: Iterable[str]) -> None:
        for line in lines:
            parts = line.split(" ")
            # The last line may have been cut by a crash; a file may have been removed, or written over, since.
            if len(parts) == 4 and len(parts[0]) == 64 and parts[2].isdigit():
                path = self.root / parts[3]
                if path.is_file() and path.stat().st_size == int(parts[2]):
                    self._files[parts[3]] = (parts[0], parts[1])

    def _write(self, target: Path, member: Member) -> tuple[Path, str]:
        digest = hashlib.sha256()
        part = self._part(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                for block in member.blocks():
                    file.write(block)
                    digest.update(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _unwritable(target, error) from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part, digest.hexdigest()

    @staticmethod
    def _part(target: Path) -> Path:
        # Not .h5: STAMP opens every such file below its folder.
        return target.with_name(f".{target.name}{_PART}")

    def _note(self, line: str) -> None:
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be written: {error.strerror or error}.",
        hint="Free space or choose another folder; the same command goes on.",
    )
