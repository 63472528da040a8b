"""Pictures of chosen slices of a series that lies on this machine."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from slicebank_imaging.errors import DecodeFailed, ImagingError
from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.windows import NAMED


def slice_pictures(
    path: Path, slice_indices: Sequence[int], windows: Sequence[str], *, series_uid: str | None = None
) -> dict[tuple[int, str], bytes]:
    """Renders slices of the default stack of a series, ordered as a service orders them.

    Args:
        path: A DICOM or NIfTI file, or a folder whose files below it hold the series; what is no CT is passed over.
        slice_indices: 0-based from inferior; those that the stack does not have are left out.
        windows: Names of windows.
        series_uid: Which series, where there are several; the one with the most slices otherwise.

    Returns:
        PNG by slice index and window.

    Raises:
        DecodeFailed: There is no axial series, or a slice cannot be decoded.
    """
    folder, files = (
        (path, sorted(item for item in path.rglob("*") if item.is_file())) if path.is_dir() else (path.parent, [path])
    )
    headers = []
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            headers.append(read_file_header(file, file=name, name=name, options=ImportOptions()))
        except ImagingError:
            continue
    found = group_series(headers, ImportOptions()).series
    chosen = [one for one in found if one.series_uid == series_uid] or list(found)
    if not chosen:
        raise DecodeFailed(f"{path.name} holds no axial CT series")
    series = max(chosen, key=lambda one: max(len(stack.slices) for stack in one.stacks))
    stack = next(stack for stack in series.stacks if stack.stack == series.default_stack)
    loader = SliceLoader(folder)
    pictures = {}
    for index in slice_indices:
        if 0 <= index < len(stack.slices):
            loaded = loader.load(stack.slices[index])
            for window in windows:
                buffer = BytesIO()
                Image.fromarray(loaded.render(NAMED[window])).save(buffer, format="PNG")
                pictures[index, window] = buffer.getvalue()
    return pictures
