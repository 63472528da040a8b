"""Values of data elements as text and numbers (PS3.5 section 6.2): lenient, never raising."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct, error

from pydicom.charset import python_encoding

TEXT_ENCODING = "latin-1"  # what pydicom assumes too where Specific Character Set is absent
_BINARY_INTEGERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l"}
_BINARY_FLOATS = {"FL": "f", "FD": "d"}
_TEXT_NUMBERS = frozenset({"IS", "DS", "CS", "SH", "LO"})


@dataclass(frozen=True, slots=True)
class Element:
    """One data element: value representation ("" under implicit VR), raw value, items of a sequence."""

    vr: str
    value: bytes
    items: "tuple[DataSet, ...]"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Data elements by tag number, with typed access; absent and unreadable values look alike."""

    elements: Mapping[int, Element]
    big_endian: bool

    def __bool__(self) -> bool:
        return bool(self.elements)

    def __contains__(self, tag: int) -> bool:
        return tag in self.elements

    def text(self, tag: int, encoding: str = TEXT_ENCODING) -> str:
        """The value as one string without padding; "" when absent."""
        element = self.elements.get(tag)
        return "" if element is None else element.value.decode(encoding, errors="replace").strip(" \0\t\r\n")

    def texts(self, tag: int) -> tuple[str, ...]:
        """The values of a multi-valued string; empty when absent."""
        value = self.text(tag)
        return tuple(part.strip(" \0") for part in value.split("\\")) if value else ()

    def numbers(self, tag: int) -> tuple[float, ...] | None:
        """Decimal values; None when absent, empty, or any one is not a finite number."""
        element = self.elements.get(tag)
        if element is None:
            return None
        if element.vr in _BINARY_FLOATS:
            values = self._unpack(element.value, _BINARY_FLOATS[element.vr])
        else:
            try:
                values = tuple(float(part) for part in self.texts(tag))
            except ValueError:
                return None
        return values if values and all(math.isfinite(value) for value in values) else None

    def number(self, tag: int) -> float | None:
        """The first decimal value; None when absent or not a finite number."""
        values = self.numbers(tag)
        return None if values is None else values[0]

    def vector(self, tag: int, size: int) -> tuple[float, ...] | None:
        """Exactly `size` decimal values; None otherwise."""
        values = self.numbers(tag)
        return values if values is not None and len(values) == size else None

    def integer_string(self, tag: int) -> int | None:
        """An Integer String within 32 bits (its bounds by PS3.5 table 6.2-1); None otherwise."""
        value = self.number(tag)
        if value is None or value != int(value) or not -(2**31) <= value < 2**31:
            return None
        return int(value)

    def unsigned(self, tag: int, *, signed: bool = False) -> int | None:
        """A binary 16-bit integer (US, or SS when `signed`); the element's own VR decides where it is wider or text."""
        element = self.elements.get(tag)
        if element is None or not element.value:
            return None
        if element.vr in _TEXT_NUMBERS:
            return self.integer_string(tag)
        code = _BINARY_INTEGERS[element.vr] if element.vr in ("UL", "SL") else ("h" if signed else "H")
        values = self._unpack(element.value, code)
        return int(values[0]) if values else None

    def items(self, tag: int) -> "tuple[DataSet, ...]":
        """The items of a sequence; empty when absent."""
        element = self.elements.get(tag)
        return () if element is None else element.items

    def first_item(self, tag: int) -> "DataSet":
        """The first item of a sequence; an empty data set when absent."""
        items = self.items(tag)
        return items[0] if items else DataSet({}, self.big_endian)

    def _unpack(self, value: bytes, code: str) -> tuple[float, ...]:
        layout = Struct((">" if self.big_endian else "<") + code)
        try:
            return tuple(part[0] for part in layout.iter_unpack(value[: len(value) - len(value) % layout.size]))
        except error:
            return ()


def text_encoding(character_sets: tuple[str, ...]) -> str:
    """Python's name of the first Specific Character Set (PS3.3 C.12.1.1.2); Latin-1 where it is absent or unknown."""
    first = next((term for term in character_sets if term), "")
    return python_encoding.get(first, TEXT_ENCODING)
