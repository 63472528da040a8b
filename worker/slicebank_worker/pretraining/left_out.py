"""Sentences for what a source does not take; the first thousands of them, and how many more there were."""

from __future__ import annotations

# More than anyone reads; a table of a million bad rows must not fill the memory.
MOST = 10_000


class LeftOut:
    """Sentences, in the order in which things were left out."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        """Takes a sentence, with or without its full stop."""
        if len(self._sentences) < MOST:
            self._sentences.append(f"{sentence.rstrip('.')}.")
        else:
            self._more += 1

    def sentences(self) -> tuple[str, ...]:
        """All that were kept, and one that counts the others."""
        rest = (f"{self._more} more things were left out.",) if self._more else ()
        return (*self._sentences, *rest)
