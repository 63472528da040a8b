"""`client.encoders`: what can embed, and for administrators also pulling, checking and removing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from slicebank.records import Encoder, EncoderCheck, EncoderPull, decode, decode_all
from slicebank.resources.path import url_part
from slicebank.transport import Transport

# Every byte of the weights is read twice; large ones have gigabytes.
VERIFY_SECONDS = 600.0


class EncodersResource:
    """Encoder cards."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Encoder]:
        """Walk the encoders, the default first."""
        return iter(decode_all(Encoder, self._transport.get("/v1/encoders").get("items")))

    def get(self, encoder_id: str) -> Encoder:
        """One card.

        Raises:
            NotFound: no such encoder.
        """
        return decode(Encoder, self._transport.get(f"/v1/encoders/{url_part(encoder_id)}"))

    def problems(self) -> Mapping[str, str]:
        """Registered encoders whose cards cannot be read: a sentence by id."""
        told = self._transport.get("/v1/encoders").get("problems")
        return {str(name): str(sentence) for name, sentence in told.items()} if isinstance(told, dict) else {}

    def pull(
        self,
        encoder: str,
        *,
        accept_licence: bool = False,
        encoder_id: str | None = None,
        architecture: str | None = None,
        windows: Sequence[str] | None = None,
        sha256: str | None = None,
    ) -> EncoderPull:
        """Have the server fetch published weights and register them; wait with `client.jobs.wait(pull.job_id)`.

        Args:
            encoder: a published encoder's id, `hf:OWNER/REPO[@REVISION][:FILE]`, or `timm:NAME`.
            accept_licence: you accept the terms of the weights.
            encoder_id: id to register it under; the published one otherwise.
            architecture: what a checkpoint file is of, where it does not tell.
            windows: windows rendered by default, instead of the card's.
            sha256: of the file, hex; another file is refused.

        Raises:
            NotAuthorised: the key is not an administrator's.
            Conflict: `licence_not_accepted` (the sentence says where the terms are), or the weights are there already.
        """
        wanted = {
            "pull": encoder,
            "accept_licence": accept_licence,
            "id": encoder_id,
            "architecture": architecture,
            "windows": None if windows is None else list(windows),
            "sha256": sha256,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        # While a pull is unfinished, the same one asked for again is the same job.
        return decode(EncoderPull, self._transport.send("POST", "/v1/encoders", body=body, repeatable=True))

    def verify(self, encoder_id: str) -> EncoderCheck:
        """Have the server read an encoder's stored weights again, every byte.

        Raises:
            NotAuthorised: the key is not an administrator's.
            NotFound: no such encoder.
        """
        path = f"/v1/encoders/{url_part(encoder_id)}/verify"
        return decode(EncoderCheck, self._transport.send("POST", path, timeout=VERIFY_SECONDS, repeatable=True))

    def remove(self, encoder_id: str) -> None:
        """Remove an encoder that was pulled or added; bags and heads made with it stay.

        Raises:
            NotAuthorised: the key is not an administrator's.
            Conflict: it was neither pulled nor added.
        """
        self._transport.send("DELETE", f"/v1/encoders/{url_part(encoder_id)}")
