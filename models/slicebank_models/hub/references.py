"""What a user may name to get an encoder: a published card, a repository of a hub, a model of timm."""

import re
from dataclasses import dataclass

from slicebank_models.cards import ENCODER_ID
from slicebank_models.errors import BadReference
from slicebank_models.weights_source import DATASETS, REPOSITORY

_HUB = re.compile(rf"hf:((?:{DATASETS})?{REPOSITORY.pattern})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,127}}))?(?::(.+))?")
_TIMM = re.compile(r"timm:[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FORMS = "an id of `slicebank encoders list`, hf:OWNER/REPO[@REVISION][:FILE], or timm:NAME"


@dataclass(frozen=True, slots=True)
class PublishedReference:
    """An encoder whose card comes with slicebank or with a plug-in."""

    encoder_id: str


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository: a model of transformers, or one checkpoint file where `file` names it.

    Attributes:
        place: `owner/name`, after `datasets/` where the repository is one of data.
    """

    place: str
    revision: str = "main"
    file: str | None = None

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return self.place.removeprefix(DATASETS)

    @property
    def dataset(self) -> bool:
        """Whether the repository is one of data."""
        return self.place.startswith(DATASETS)


@dataclass(frozen=True, slots=True)
class TimmReference:
    """A pre-trained model of timm, such as `resnet50.a1_in1k`."""

    name: str


Reference = PublishedReference | HubReference | TimmReference


def parse_reference(text: str) -> Reference:
    """Reads what a user names.

    Paths and addresses are none of it: a server must not open what a request names.

    Raises:
        BadReference: It is of no known form.
    """
    if match := _HUB.fullmatch(text):
        place, revision, file = match.groups()
        if file is not None and (file.startswith("/") or ".." in file.split("/")):
            raise BadReference(f"{file[:128]!r} must be a path inside the repository.")
        return HubReference(place, revision or "main", file)
    if _TIMM.fullmatch(text):
        return TimmReference(text.removeprefix("timm:"))
    if ENCODER_ID.fullmatch(text):
        return PublishedReference(text)
    raise BadReference(f"{text[:128]!r} names no encoder; give {_FORMS}. Files and folders are for `encoders add`.")
