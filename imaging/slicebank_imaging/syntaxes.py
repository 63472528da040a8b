"""Transfer syntaxes that can be decoded here (DICOM PS3.5 annex A, PS3.6 table A-1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Family(StrEnum):
    """What the bytes of one frame are."""

    NATIVE = "native"
    RLE = "RLE"
    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One transfer syntax: how the data set and its pixels are written."""

    uid: str
    name: str
    family: Family
    implicit_vr: bool = False
    big_endian: bool = False
    deflated: bool = False

    @property
    def encapsulated(self) -> bool:
        """Pixels are fragments of codestreams."""
        return self.family is not Family.NATIVE


IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS_PROCESS_14 = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"

SYNTAXES: Mapping[str, TransferSyntax] = MappingProxyType(
    {
        syntax.uid: syntax
        for syntax in (
            TransferSyntax(IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", Family.NATIVE, implicit_vr=True),
            TransferSyntax(EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", Family.NATIVE),
            TransferSyntax(DEFLATED_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", Family.NATIVE, deflated=True),
            TransferSyntax(EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian", Family.NATIVE, big_endian=True),
            TransferSyntax(JPEG_BASELINE, "JPEG Baseline (Process 1)", Family.JPEG),
            TransferSyntax(JPEG_EXTENDED, "JPEG Extended (Process 2 and 4)", Family.JPEG),
            TransferSyntax(JPEG_LOSSLESS_PROCESS_14, "JPEG Lossless (Process 14)", Family.JPEG_LOSSLESS),
            TransferSyntax(JPEG_LOSSLESS_SV1, "JPEG Lossless (Process 14, Selection Value 1)", Family.JPEG_LOSSLESS),
            TransferSyntax(JPEG_LS_LOSSLESS, "JPEG-LS Lossless", Family.JPEG_LS),
            TransferSyntax(JPEG_LS_NEAR_LOSSLESS, "JPEG-LS Near-Lossless", Family.JPEG_LS),
            TransferSyntax(JPEG_2000_LOSSLESS, "JPEG 2000 (Lossless Only)", Family.JPEG_2000),
            TransferSyntax(JPEG_2000, "JPEG 2000", Family.JPEG_2000),
            TransferSyntax(RLE_LOSSLESS, "RLE Lossless", Family.RLE),
        )
    }
)

SUPPORTED_NAMES = "uncompressed, deflated, RLE, JPEG baseline, extended and lossless, JPEG-LS, JPEG 2000"
