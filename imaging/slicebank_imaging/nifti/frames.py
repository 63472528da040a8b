"""One NIfTI file's verdict, and its slices as frames, so that grouping and loading need not know the format."""

import hashlib
from pathlib import Path

from slicebank_imaging.errors import BadHeader
from slicebank_imaging.file_header import FileHeader, FrameHeader
from slicebank_imaging.layout import MAX_FRAMES, MAX_SIDE, PixelLayout, check_size
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.nifti.header import NiftiVolume, read_volume
from slicebank_imaging.nifti.orientation import AxialView, axial_view
from slicebank_imaging.nifti.voxels import PADDING, VoxelSurvey, check_hounsfield, kept_as_stored, survey
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.uids import derived_uid


def read_nifti_header(
    path: Path, *, file: str, folder: str, options: ImportOptions, limits: IntakeLimits
) -> FileHeader:
    """Judge one volume; arguments as those of `headers.read_file_header`. Every voxel is read once.

    The file has neither patient nor UIDs: these are empty, and UIDs are derived from content. `assume_rescale` stands
    in for a scale that the header lacks where voxels are 8-bit or 16-bit integers.

    Raises:
        FileRefused: the verdict.
    """
    volume = read_volume(path)
    view = axial_view(volume.affine, volume.shape)
    layout = _layout(volume, view)
    check_size(layout, limits)
    found = survey(path, volume)
    kept = kept_as_stored(volume.dtype)
    assumed = kept and not volume.scaled and options.assume_rescale is not None
    slope, intercept = (
        options.assume_rescale if assumed and options.assume_rescale else (volume.slope, volume.intercept)
    )
    check_hounsfield(found, slope, intercept, volume.dtype, force=options.force_not_hu)
    instance = derived_uid("nifti instance", _content(volume, found))
    frames = tuple(
        FrameHeader(
            file=file,
            frame_number=index + 1,
            sop_instance_uid=instance,
            instance_number=None,
            position=view.position(index),
            orientation=view.orientation,
            slice_location=None,
            acquisition_number=None,
            acquisition_time=None,
            rows=layout.rows,
            columns=layout.columns,
            pixel_spacing=view.spacing,
            slice_thickness=None,
            slope=slope if kept else 1.0,
            intercept=intercept if kept else 0.0,
            rescale_assumed=assumed,
            padding=(PADDING, PADDING) if found.missing else None,
            image_type=(),
            gantry_tilt=None,
        )
        for index in range(layout.frames)
    )
    series = derived_uid("nifti series", instance)
    return FileHeader(
        file=file,
        sha256_pixels=found.sha256,
        study_uid=derived_uid("nifti study", instance),
        series_uid=series,
        transfer_syntax=f"nifti-{volume.version}",
        modality="CT",
        sop_class_uid="",
        patient_id="",
        patient_sex="",
        body_part="",
        frames=frames,
        folder=folder,
        layout=layout,
        sop_uid_derived=True,
        warnings=_warnings(volume, found),
        rounded_to_hu=None if kept else 1.0,
    )


def _layout(volume: NiftiVolume, view: AxialView) -> PixelLayout:
    rows, columns = volume.shape[view.row_axis], volume.shape[view.column_axis]
    frames = volume.shape[view.slice_axis]
    if max(rows, columns) > MAX_SIDE or frames > MAX_FRAMES:
        raise BadHeader(
            f"{frames} axial slices of {rows} x {columns} voxels; at most {MAX_FRAMES} of {MAX_SIDE} are taken"
        )
    kept = kept_as_stored(volume.dtype)
    bits = 8 * volume.dtype.itemsize if kept else 16
    return PixelLayout(rows, columns, frames, bits, bits, bits - 1, not kept or volume.dtype.kind == "i")


def _content(volume: NiftiVolume, found: VoxelSurvey) -> str:
    """Everything of the file that the slices depend on; free text and extensions of the header are left out."""
    parts = (volume.shape, volume.dtype.str, volume.slope, volume.intercept, volume.affine.round(6).tolist())
    return hashlib.sha256(repr((found.sha256, *parts)).encode()).hexdigest()


def _warnings(volume: NiftiVolume, found: VoxelSurvey) -> tuple[str, ...]:
    warnings = []
    if found.missing:
        warnings.append(f"{found.missing} voxels are NaN; they are taken as padding, black in every window")
    if not kept_as_stored(volume.dtype):
        warnings.append("the voxels are neither 8-bit nor 16-bit integers; they are rounded to whole HU")
    if volume.affines_differ:
        warnings.append("sform and qform disagree; the sform is used")
    return tuple(warnings)
