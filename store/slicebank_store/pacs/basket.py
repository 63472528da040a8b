"""Where pulled files go, and how many and how large they may be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from slicebank_store.errors import PacsUnavailable, StudyTooLarge

_UNFINISHED = ".part"


class Basket:
    """The files of one study, a folder for each series. A series is there as a whole or not at all, so that a killed pull can go on."""

    def __init__(self, folder: Path, *, max_bytes: int, max_files: int, check: Callable[[], None]) -> None:
        """Takes up what an earlier run has left.

        Args:
            folder: of all series; made where it is not there.
            max_bytes: of all files together.
            max_files: the same.
            check: called again and again while bytes come; what it raises ends the pull.
        """
        self._folder = folder
        folder.mkdir(exist_ok=True)
        for left in folder.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(left)
        self._bytes_left = max_bytes - sum(path.stat().st_size for path in folder.glob("*/*"))
        self._files_left = max_files - sum(1 for _ in folder.glob("*/*"))
        self.check = check

    def files(self, name: str) -> list[Path]:
        """The files of a series that is there as a whole, in the order in which they came."""
        return sorted((self._folder / name).glob("*"))

    def has(self, name: str) -> bool:
        """Whether a series is there as a whole."""
        return (self._folder / name).is_dir()

    def drop(self, name: str) -> None:
        """Removes a series."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def open(self, name: str) -> SeriesBasket:
        """A place for the files of a series, empty."""
        folder = self._folder / (name + _UNFINISHED)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return SeriesBasket(self, folder, self._folder / name)

    def spend(self, n_files: int, n_bytes: int) -> None:
        """Counts what came.

        Raises:
            StudyTooLarge: it is more than may come.
        """
        self._files_left -= n_files
        self._bytes_left -= n_bytes
        if self._files_left < 0 or self._bytes_left < 0:
            what = "files" if self._files_left < 0 else "bytes"
            raise StudyTooLarge(f"The study has more {what} than one upload may bring: select fewer of its series.")


class SeriesBasket:
    """The files of one series on their way."""

    def __init__(self, basket: Basket, folder: Path, final: Path) -> None:
        self._basket = basket
        self._folder = folder
        self._final = final
        self._bytes = 0
        self.n_files = 0

    def new(self) -> Path:
        """A name for the next file."""
        self._basket.spend(1, 0)
        self.n_files += 1
        return self._folder / f"{self.n_files:06d}"

    def count(self, n_bytes: int) -> None:
        """Counts bytes that came, and sees whether the pull may go on."""
        self._bytes += n_bytes
        self._basket.spend(0, n_bytes)
        self._basket.check()

    def done(self) -> None:
        """Ends the series: it is there as a whole.

        Raises:
            PacsUnavailable: nothing came.
        """
        if self.n_files == 0:
            raise PacsUnavailable("The PACS lists a series and gives none of its instances.")
        self._folder.rename(self._final)

    def abandon(self) -> None:
        """Removes what came, and counts it no more."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._basket.spend(-self.n_files, -self._bytes)


def all_files(basket: Basket, names: Sequence[str]) -> list[Path]:
    """The files of several series."""
    return [path for name in names for path in basket.files(name)]
