"""Copies of bags for other people's folders: without pictures, under the name of their file."""

from __future__ import annotations

from pathlib import Path

import h5py

from slicebank_store.bags.format import FORMAT
from slicebank_store.errors import BadBag

PICTURES = "thumbnails"


def copy_bag(source: Path, target: Path, *, name: str, feat_type: str = "tile", thumbnails: bool = False) -> None:
    """Writes a bag again, value by value the same; the same bag gives the same bytes.

    Args:
        source: the stored file.
        target: the file to write.
        name: what foreign readers show, the stem of the file.
        feat_type: `tile` for rows of slices, `patient` for the one row of a scan (STAMP's word).
        thumbnails: whether the pictures go along; those of a head can show a face.

    Raises:
        BadBag: the source is not a bag.
    """
    try:
        with h5py.File(source, "r", locking=False) as bag, h5py.File(target, "w", locking=False) as copy:
            if bag.attrs.get("slicebank_format") != FORMAT:
                msg = f"{source.name} is not a bag of format {FORMAT}."
                raise BadBag(msg)
            for key in bag:
                if key != "features" and (thumbnails or key != PICTURES):
                    bag.copy(key, copy)
            copy["features"] = copy["feats"]
            copy.attrs.update({**bag.attrs, "feat_type": feat_type})
            copy["feats"].attrs["name"] = name
            copy["coords"].attrs["name"] = name
    except (OSError, KeyError, ValueError) as error:
        msg = f"{source.name} cannot be read as a bag ({type(error).__name__}): embed its series again."
        raise BadBag(msg) from error
