"""Slices that could not be decoded, as long as there are few of them."""

from __future__ import annotations

from slicebank_store.bags import BagSlice, SkippedSlice
from slicebank_worker.errors import DecodeShare


class MissingSlices:
    """Counts them, and ends the job when there are too many."""

    def __init__(self, slices: tuple[BagSlice, ...], share: float) -> None:
        """Starts with none missing.

        Args:
            slices: of the stack.
            share: of them may be missing.
        """
        self._slices = slices
        self._most = share * len(slices)
        self.skipped: list[SkippedSlice] = []

    @property
    def n_slices(self) -> int:
        """Slices of the stack."""
        return len(self._slices)

    def add(self, index: int, detail: str) -> None:
        """Notes one.

        Raises:
            DecodeShare: there are more than a bag may lack.
        """
        self.skipped.append(SkippedSlice(index, self._slices[index].sop_instance_uid, detail))
        if len(self.skipped) > self._most:
            raise DecodeShare(
                f"{len(self.skipped)} of {len(self._slices)} slices could not be decoded, more than {self._most:g}; the last: {detail}"
            )
