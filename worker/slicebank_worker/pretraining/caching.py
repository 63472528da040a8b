"""From names of sources to a cache: an existing one of the same sources, or a new one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from slicebank_models.errors import BadSliceCache, SourceProblem
from slicebank_models.pretraining.slice_cache import CacheReport, Progress, SliceCache, is_cache, write_cache
from slicebank_worker.pretraining.recognising import KINDS, SourceOptions, open_sources


def open_or_make_cache(
    sources: Sequence[str],
    folder: Path,
    *,
    options: SourceOptions | None = None,
    side: int = 512,
    progress: Progress | None = None,
) -> tuple[SliceCache, CacheReport | None]:
    """The cache in a folder if it was made of these sources, else a new one; None for the report of an old one.

    What lies in the sources is not looked at again: a cache of a folder that has grown since is still that folder's.

    Args:
        sources: As `open_sources`; none to open what is there.
        folder: Of the cache.
        options: How sources are read.
        side: Rows and columns that every slice gets.
        progress: As `write_cache`.

    Raises:
        SourceProblem: A source is none, or holds nothing.
        BadSliceCache: The folder holds a cache of other sources, or something else; or it cannot be written.
        BadPretrainingSetting: `side` is none.
    """
    options = options or SourceOptions()
    if is_cache(folder):
        cache = SliceCache(folder)
        if sources and cache.request != request_digest(sources, options, side):
            raise BadSliceCache(
                f"{folder} holds a slice cache of other sources or settings: name another folder, or remove it."
            )
        return cache, None
    if not sources:
        raise BadSliceCache(f"{folder} is no slice cache: make one with `slicebank pretrain cache`.")
    request = request_digest(sources, options, side)
    report = write_cache(open_sources(sources, options), folder, side=side, progress=progress, request=request)
    return SliceCache(folder), report


def request_digest(sources: Sequence[str], options: SourceOptions, side: int) -> str:
    """sha256 of what a cache is asked to be, paths made absolute; the cache keeps it and no path.

    Raises:
        SourceProblem: The table of boxes cannot be read.
    """
    try:
        boxes = None if options.boxes is None else hashlib.sha256(options.boxes.read_bytes()).hexdigest()
    except OSError as error:
        raise SourceProblem(f"{options.boxes} cannot be read: {error.strerror}.") from error
    request = {
        "sources": [_absolute(source) for source in sources],
        "boxes": boxes,
        "splits": sorted(options.splits),
        "mask_values": sorted(options.mask_values),
        "project": options.project,
        "imports": options.imports.as_dict(),
        "side": side,
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _absolute(source: str) -> str:
    kind, colon, rest = source.partition(":")
    if not colon or kind not in KINDS:
        return str(Path(source).expanduser().resolve())
    return source if kind == "phantoms" else f"{kind}:{Path(rest).expanduser().resolve()}"
