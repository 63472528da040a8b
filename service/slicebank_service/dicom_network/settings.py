"""What the listener can be told, from the environment (prefix `SLICEBANK_LISTEN_`)."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from slicebank_service.settings import ServiceSettings
from slicebank_store.settings import GIBIBYTE

DEFAULT_PORT = 11112
"""Registered for DICOM with IANA, and free of the rights that 104 asks for."""

# PS3.5 table 6.2-1, AE: at most 16 characters, neither backslash nor control characters, not all spaces.
_AE_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ListenerSettings(ServiceSettings):
    """Settings of one listener: those of the API, whose limits on uploads hold here too, and its own."""

    listen_aet: str = Field("SLICEBANK", description="The listener's own AE title.")
    listen_host: str = Field("127.0.0.1", description="Address to listen on; the default is this machine alone.")
    listen_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the DICOM listener. Set, it makes `slicebank serve` start one; `slicebank listen` takes 11112 where it is not.",
    )
    listen_calling_aets: str = Field(
        "", description="AE titles that may send, separated by commas; empty lets all send."
    )
    listen_peers: str = Field(
        "",
        description="Addresses or networks (192.0.2.0/24) that may connect, separated by commas; empty lets all. AE titles prove nothing.",
    )
    listen_require_called_aet: bool = Field(
        True,
        description="Refuse associations that call another AE title; a sender set up for someone else is found at once.",
    )
    listen_max_associations: int = Field(
        16, ge=1, description="Associations open at once; PACS send one study over 1 to 4, and each takes a thread."
    )
    listen_max_pdu_bytes: int = Field(
        256 * 1024,
        ge=4096,
        le=16 * 1024 * 1024,
        description="Longest PDU asked for; a CT slice then comes in two or three, and longer ones gain nothing.",
    )
    listen_idle_seconds: float = Field(
        120.0, gt=0, description="An association that is silent for so long is ended; PACS pause for tens of seconds."
    )
    listen_max_instance_bytes: int = Field(
        4 * GIBIBYTE,
        ge=1,
        description="Bytes of one instance; 8,000 frames of 512 x 512, more than any enhanced CT.",
    )
    listen_tls_certificate: Path | None = Field(
        None, description="PEM file of the listener's certificate chain; set, it makes every association use TLS."
    )
    listen_tls_key: Path | None = Field(None, description="PEM file of that certificate's private key.")
    listen_tls_ca: Path | None = Field(
        None, description="PEM file of the authorities whose certificates senders must show; unset, none is asked for."
    )
    listen_metrics_port: int = Field(0, ge=0, le=65535, description="Port that answers Prometheus; 0 opens none.")
    listen_metrics_host: str = Field(
        "127.0.0.1", description="Address of that port; it asks for no key, so the default is this machine alone."
    )

    @field_validator("listen_aet")
    @classmethod
    def _is_title(cls, value: str) -> str:
        return _title(value)

    @field_validator("listen_calling_aets")
    @classmethod
    def _are_titles(cls, value: str) -> str:
        return ",".join(_title(item) for item in _items(value))

    @field_validator("listen_peers")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        return ",".join(str(ipaddress.ip_network(item, strict=False)) for item in _items(value))

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ListenerSettings:
        if (self.listen_tls_certificate is None) != (self.listen_tls_key is None):
            raise ValueError("listen_tls_certificate and listen_tls_key belong together")
        if self.listen_tls_ca is not None and self.listen_tls_certificate is None:
            raise ValueError("listen_tls_ca needs listen_tls_certificate and listen_tls_key")
        return self

    @property
    def calling_aets(self) -> frozenset[str]:
        """AE titles that may send; empty for all."""
        return frozenset(_items(self.listen_calling_aets))

    @property
    def peers(self) -> tuple[_Network, ...]:
        """Networks that may connect; empty for all."""
        return tuple(ipaddress.ip_network(item) for item in _items(self.listen_peers))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _title(value: str) -> str:
    if not _AE_TITLE.fullmatch(value):
        raise ValueError("an AE title has 1 to 16 characters of ASCII, no backslash, and no space at its ends")
    return value
