"""A phantom: chest-abdomen CT that looks like CT, with lesions of chosen place and size, as real DICOM files."""

from slicebank_imaging.phantom.dicom import PhantomHeader, PhantomSeries, write_dicom, write_enhanced_dicom
from slicebank_imaging.phantom.lesions import Lesion, PlantedLesion, SliceBox, random_lesion
from slicebank_imaging.phantom.spec import PhantomSpec
from slicebank_imaging.phantom.volume import Phantom, make_phantom

__all__ = [
    "Lesion",
    "Phantom",
    "PhantomHeader",
    "PhantomSeries",
    "PhantomSpec",
    "PlantedLesion",
    "SliceBox",
    "make_phantom",
    "random_lesion",
    "write_dicom",
    "write_enhanced_dicom",
]
