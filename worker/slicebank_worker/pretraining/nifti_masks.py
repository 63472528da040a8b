"""NIfTI volumes with masks of lesions: a box for every connected piece of a mask in every axial slice."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.nifti import NiftiSlices
from slicebank_imaging.nifti.orientation import AxialView
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.decoding import in_order
from slicebank_worker.pretraining.dicom_boxes import files_below, load_hu
from slicebank_worker.pretraining.left_out import LeftOut

SUFFIXES = (".nii", ".nii.gz")
# Volume and mask lie in one grid where corresponding corners are nearer than this share of a voxel.
SAME_GRID = 0.1
_MASK = re.compile(r"[_\-.](mask|label|labels|seg|segmentation|gt)$", re.IGNORECASE)
_VOLUME = re.compile(r"[_\-.](image|img|ct|volume|vol|0000)$", re.IGNORECASE)
_NNUNET = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A volume and its mask, if it has one, as paths below the source."""

    volume: str
    mask: str | None


class NiftiSource:
    """All CT volumes below a folder, each taken for a patient; those without a mask stay in as context.

    Args:
        path: A folder, or one volume.
        values: Values of the masks that are lesions; none for all but 0.
        options: What is asserted of volumes whose headers do not say it.
        workers: Threads.

    Raises:
        SourceProblem: There is no volume.
    """

    name = "nifti"

    def __init__(
        self,
        path: Path,
        *,
        values: Collection[int] = (),
        options: ImportOptions | None = None,
        workers: int,
    ) -> None:
        self._folder = path if path.is_dir() else path.parent
        self._values = frozenset(values)
        self._options = options or ImportOptions()
        self._workers = workers
        self._left_out = LeftOut()
        names = [name for name in files_below(self._folder) if name.lower().endswith(SUFFIXES)]
        self._pairs, self._alone = find_pairs(names)
        if not path.is_dir():
            self._pairs, self._alone = [pair for pair in self._pairs if pair.volume == path.name], []
        if not self._pairs:
            raise SourceProblem(f"{path} holds no NIfTI volume beside masks.")
        self._about = sum(self._slices_of(pair) for pair in self._pairs)

    def __len__(self) -> int:
        return self._about

    @property
    def left_out(self) -> tuple[str, ...]:
        """Volumes that are no CT, masks without volume or in another grid, and slices that cannot be read."""
        return self._left_out.sentences()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields volume after volume, from inferior to superior."""
        self._left_out = LeftOut()
        for mask in self._alone:
            self._left_out.add(f"{mask}: no volume goes with this mask")
        for pair in self._pairs:
            with ExitStack() as stack:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slicebank-")))
                try:
                    yield from self._pair(pair, scratch)
                except (ImagingError, OSError, EOFError, zlib.error) as error:
                    self._left_out.add(f"{pair.volume}: {_sentence(error)}")

    def _pair(self, pair: Pair, scratch: Path) -> Iterator[SourceSlice]:
        path = _plain(self._folder / pair.volume, scratch / "volume.nii")
        header = read_file_header(path, file=path.name, name=path.name, options=self._options)
        # A NIfTI file is one series of one stack.
        grouping = group_series([header], self._options)
        for refused in grouping.refused:
            self._left_out.add(f"{pair.volume}: {refused.detail}")
        mask = self._mask(pair, path, scratch)
        for series in grouping.series:
            stack = series.stacks[series.default_stack]
            spacing = stack.geometry["pixel_spacing_mm"]
            make = partial(_load, SliceLoader(path.parent), mask, self._values)
            for position, (hu, boxes) in enumerate(in_order(make, stack.slices, self._workers)):
                if isinstance(hu, str):
                    self._left_out.add(f"{pair.volume}, slice {position}: {hu}")
                    continue
                name = f"nifti-{pair.volume}"
                yield SourceSlice(hu, name, name, position, boxes, pixel_mm=float(spacing[1]) if spacing else 0.0)

    def _mask(self, pair: Pair, volume: Path, scratch: Path) -> NiftiSlices | None:
        """The mask, if it is there and lies in the volume's grid."""
        if pair.mask is None:
            return None
        try:
            mask = NiftiSlices.open(_plain(self._folder / pair.mask, scratch / "mask.nii"))
        except (ImagingError, OSError, EOFError, zlib.error) as error:
            self._left_out.add(f"{pair.mask}: {_sentence(error)}; its volume is taken without boxes")
            return None
        owner = NiftiSlices.open(volume)
        if mask.volume.shape != owner.volume.shape:
            self._left_out.add(
                f"{pair.mask}: its grid is {mask.volume.shape}, that of {pair.volume} {owner.volume.shape}; "
                "the volume is taken without boxes"
            )
            return None
        corners = np.array(np.meshgrid(*((0, size - 1) for size in mask.volume.shape), [1])).reshape(4, -1)
        apart = np.abs((mask.volume.affine - owner.volume.affine)[:3] @ corners).max()
        voxel = np.linalg.norm(owner.volume.affine[:3, :3], axis=0).min()
        if apart > SAME_GRID * voxel or _axes(mask.view) != _axes(owner.view):
            self._left_out.add(
                f"{pair.mask}: it lies up to {apart:.3g} mm beside {pair.volume}; the volume is taken without boxes"
            )
            return None
        return mask

    def _slices_of(self, pair: Pair) -> int:
        """Along the third axis, mostly that of slices; 0 where the header cannot be read."""
        path = self._folder / pair.volume
        try:
            with gzip.open(path) if pair.volume.lower().endswith(".gz") else path.open("rb") as file:
                head = file.read(48)
        except (OSError, EOFError, zlib.error):
            return 0
        little = head[:4] == (348).to_bytes(4, "little")
        return max(0, int.from_bytes(head[46:48], "little" if little else "big", signed=True))  # dim[3] of NIfTI-1


def find_pairs(names: Collection[str]) -> tuple[list[Pair], list[str]]:
    """Volumes with their masks, and masks that no volume goes with.

    `NAME.nii.gz` or `NAME_image.nii.gz` goes with `NAME_mask`, `NAME_label` or `NAME_seg` of the same folder; with nnU-Net's
    folders `imagesTr/NAME_0000.nii.gz` goes with `labelsTr/NAME.nii.gz`.

    Args:
        names: Paths with slashes.
    """
    volumes: dict[tuple[str, str], str] = {}
    masks: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        folder, _, file = name.rpartition("/")
        above, _, last = folder.rpartition("/")
        stem = re.sub(r"\.nii(\.gz)?$", "", file, flags=re.IGNORECASE)
        if last in _NNUNET.values():
            masks[f"{above}/{last}", stem] = name
        elif last in _NNUNET:
            if not re.search(r"_000[1-9]$", stem):  # other channels are other modalities
                volumes[f"{above}/{_NNUNET[last]}", _VOLUME.sub("", stem)] = name
        elif _MASK.search(stem):
            masks[folder, _VOLUME.sub("", _MASK.sub("", stem))] = name
        else:
            # Where NAME and NAME_image are both there, the mask is that of the first.
            key = folder, _VOLUME.sub("", stem)
            volumes[key if key not in volumes else (folder, name)] = name
    pairs = [Pair(name, masks.pop(key, None)) for key, name in volumes.items()]
    return sorted(pairs, key=lambda pair: pair.volume), sorted(masks.values())


def boxes_of(mask: NDArray[np.bool_]) -> tuple[LesionBox, ...]:
    """A box for every piece of a mask whose pixels touch by sides or corners.

    Args:
        mask: (rows, columns).
    """
    from scipy.ndimage import find_objects, label

    if not mask.any():
        return ()
    pieces, _ = label(mask, structure=np.ones((3, 3)))
    return tuple(
        LesionBox(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in find_objects(pieces)
    )


def _load(
    loader: SliceLoader, mask: NiftiSlices | None, values: frozenset[int], ref: SliceRef
) -> tuple[NDArray[np.int16] | str, tuple[LesionBox, ...]]:
    hu = load_hu(loader.load, ref)
    if mask is None or isinstance(hu, str):
        return hu, ()
    try:
        drawn = mask.load(ref.frame_number)
    except ImagingError as error:
        return f"its mask cannot be read: {error.detail}", ()
    # Stored values: a scale, which some tools write to masks too, is left out where voxels are integers.
    return hu, boxes_of(np.isin(drawn, list(values)) if values else drawn != 0)


def _axes(view: AxialView) -> tuple[int, int, int, bool, bool]:
    return view.column_axis, view.row_axis, view.slice_axis, view.flip_columns, view.flip_rows


def _plain(path: Path, scratch: Path) -> Path:
    """The file itself, or its inflated copy: voxels are read where they lie."""
    if not path.name.lower().endswith(".gz"):
        return path
    with gzip.open(path) as packed, scratch.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return scratch


def _sentence(error: Exception) -> str:
    return error.detail if isinstance(error, ImagingError) else f"it cannot be read ({error})"
