"""The file that a stored bag becomes in an export, or that one asks for by its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slicebank_service.exports.layouts import Content, ExportedBag
from slicebank_store.types import BagLevel


@dataclass(frozen=True, slots=True)
class Extras:
    """What may go along with the rows.

    Attributes:
        thumbnails: whether HDF5 files hold the pictures of the slices.
        attention: whether Parquet has an attention column.
    """

    thumbnails: bool = False
    attention: bool = False


def write_content(
    bag: ExportedBag,
    content: Content,
    source: Path,
    target: Path,
    *,
    extras: Extras,
    attention: Mapping[int, float] | None = None,
) -> None:
    """Writes a bag's rows in one form; `target` has the name that readers will know it by.

    Args:
        bag: which.
        content: in what form.
        source: the stored file.
        target: the file to write.
        extras: what goes along.
        attention: weight by row, where a head has answered about the bag.

    Raises:
        BadBag: the stored file is damaged.
    """
    # Here, because they bring h5py and numpy, and a service should start without them.
    from slicebank_store.bags import copy_bag, read_bag

    if content is Content.H5:
        feat_type = "patient" if bag.level is BagLevel.SCAN else "tile"
        copy_bag(source, target, name=target.stem, feat_type=feat_type, thumbnails=extras.thumbnails)
    elif content is Content.PT:
        from slicebank_service.exports.torch_file import write_tensor

        write_tensor(read_bag(source).features, target)
    else:
        from slicebank_service.exports.parquet_file import write_rows

        write_rows(
            read_bag(source),
            target,
            patient=bag.patient,
            series_uid=bag.series_uid,
            bag_id=bag.bag_id,
            attention=attention,
            with_attention=extras.attention,
        )
