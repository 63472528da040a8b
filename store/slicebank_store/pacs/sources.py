"""Which PACS there are: the operator names them in the settings, and requests name them by their names alone."""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, model_validator

from slicebank_store.errors import BadSources, UnknownSource
from slicebank_store.settings import UploadSettings

# PS3.5 table 6.2-1: 16 characters without backslash and control characters.
_AE_TITLE = r"^[ -\[\]-~]{1,16}$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class _Source(BaseModel):
    """What every PACS has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float = Field(30.0, gt=0, description="How long it may be silent.")


class DicomWebSource(_Source):
    """A PACS that answers QIDO-RS and WADO-RS below one URL."""

    kind: Literal["dicomweb"]
    url: str = Field(pattern=r"^https?://[^@?#]+$", description="Without /studies; no user, query or fragment.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Sent with every request.")
    token: SecretStr | None = Field(None, description="Sent as a bearer token.")
    username: str | None = None
    password: SecretStr | None = None
    verify: bool | Path = Field(True, description="Whether the certificate is checked, or the file of its authority.")

    @model_validator(mode="after")
    def _one_key(self) -> DicomWebSource:
        if self.token is not None and self.username is not None:
            raise ValueError("give a token or a username, not both")
        return self

    @model_validator(mode="after")
    def _sendable(self) -> DicomWebSource:
        secrets = [*self.headers.values(), *([] if self.token is None else [self.token])]
        texts = [*self.headers, *(secret.get_secret_value() for secret in secrets)]
        if not all(text.isascii() and text.isprintable() for text in texts):
            raise ValueError("headers and token must be plain ASCII without line breaks")
        return self

    @model_validator(mode="after")
    def _certificates_can_be_read(self) -> DicomWebSource:
        if isinstance(self.verify, Path):
            try:
                ssl.create_default_context(cafile=self.verify.expanduser())
            except OSError as error:
                raise ValueError(f"the certificates of verify cannot be read ({type(error).__name__})") from None
        return self


class DimseSource(_Source):
    """A PACS that answers C-FIND, and C-GET or C-MOVE."""

    kind: Literal["dimse"]
    host: str = Field(min_length=1, max_length=255)
    port: int = Field(104, ge=1, le=65535)
    called_aet: str = Field(pattern=_AE_TITLE)
    calling_aet: str = Field("SLICEBANK", pattern=_AE_TITLE)
    retrieve: Literal["c-get", "c-move"] = "c-get"
    move_destination: str | None = Field(None, pattern=_AE_TITLE, description="AE title of `slicebank listen`.")

    @model_validator(mode="after")
    def _has_destination(self) -> DimseSource:
        if self.retrieve == "c-move" and self.move_destination is None:
            raise ValueError("c-move needs a move_destination: the AE title of `slicebank listen`, known to the PACS")
        return self


Source = Annotated[DicomWebSource | DimseSource, Field(discriminator="kind")]

_SOURCES: TypeAdapter[dict[str, DicomWebSource | DimseSource]] = TypeAdapter(
    dict[Annotated[str, Field(pattern=_NAME)], Source]
)


class Sources:
    """The PACS of one installation."""

    def __init__(self, sources: Mapping[str, DicomWebSource | DimseSource]) -> None:
        self._sources = dict(sources)

    def kinds(self) -> dict[str, str]:
        """Kind by name."""
        return {name: source.kind for name, source in sorted(self._sources.items())}

    def get(self, name: str) -> DicomWebSource | DimseSource:
        """The PACS of a name.

        Raises:
            UnknownSource: there is none.
        """
        found = self._sources.get(name)
        if found is None:
            named = ", ".join(sorted(self._sources)) or "none"
            raise UnknownSource(f"The settings name no PACS of this name; those they name: {named}.")
        return found


def load_sources(settings: UploadSettings) -> Sources:
    """The PACS that the settings name.

    Raises:
        BadSources: they are not usable; the sentence says where, and never shows a value.
    """
    if settings.pacs is not None and settings.pacs_file is not None:
        raise BadSources("Set SLICEBANK_PACS or SLICEBANK_PACS_FILE, not both.")
    try:
        if settings.pacs is not None:
            return Sources(_SOURCES.validate_json(settings.pacs.get_secret_value()))
        if settings.pacs_file is not None:
            return Sources(_SOURCES.validate_python(tomllib.loads(settings.pacs_file.expanduser().read_text())))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'the whole'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)[:3]
        )
        raise BadSources(f"The PACS in the settings are not usable: {wrong}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSources(f"SLICEBANK_PACS_FILE cannot be read ({type(error).__name__}).") from None
    return Sources({})
