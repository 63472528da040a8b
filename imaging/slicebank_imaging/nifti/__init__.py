"""NIfTI-1 and NIfTI-2 volumes in one file, uncompressed, as axial CT slices.

Sources: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h and https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h.
"""

from slicebank_imaging.nifti.frames import read_nifti_header
from slicebank_imaging.nifti.header import is_nifti
from slicebank_imaging.nifti.slices import NiftiSlices

__all__ = ["NiftiSlices", "is_nifti", "read_nifti_header"]
