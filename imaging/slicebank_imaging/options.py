"""Import options: what a sender may assert about files whose headers do not say it."""

from dataclasses import dataclass
from typing import Any

from slicebank_imaging.errors import BadOption
from slicebank_imaging.limits import MAX_RESCALE


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options that change what pixel values mean, and therefore enter the slice digest.

    Attributes:
        assume_rescale: Slope and intercept (HU per stored unit, HU) for CT files that lack them.
        force_not_hu: Take values that are not Hounsfield units as if they were.
    """

    assume_rescale: tuple[float, float] | None = None
    force_not_hu: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON form, stable: it is hashed into slice digests."""
        return {
            "assume_rescale": None if self.assume_rescale is None else list(self.assume_rescale),
            "force_not_hu": self.force_not_hu,
        }

    @classmethod
    def parse(cls, assume_rescale: str | None, force: str | None) -> "ImportOptions":
        """Read the query parameters `assume_rescale=slope,intercept` and `force=not_hu`.

        Raises:
            BadOption: text that is neither absent nor in that form.
        """
        pair: tuple[float, float] | None = None
        if assume_rescale:
            try:
                slope, intercept = (float(part) for part in assume_rescale.split(","))
            except ValueError:
                raise BadOption(
                    "assume_rescale must be two numbers, slope and intercept, for example assume_rescale=1,-1024"
                ) from None
            if not (0 < abs(slope) <= MAX_RESCALE and abs(intercept) <= MAX_RESCALE):  # false for NaN too
                raise BadOption("assume_rescale needs a finite slope other than 0 and a finite intercept")
            pair = (slope, intercept)
        if force not in (None, "", "not_hu"):
            raise BadOption("force knows one value: force=not_hu takes volumes that are not in Hounsfield units")
        return cls(assume_rescale=pair, force_not_hu=force == "not_hu")
