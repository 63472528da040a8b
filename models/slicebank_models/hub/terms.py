"""Under which terms weights are published, and whether somebody accepted them."""

from dataclasses import dataclass

from slicebank_models.errors import LicenceNotAccepted


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms weights are published.

    Attributes:
        licence: Its name; empty where the publisher's page alone says it.
        url: Where the terms can be read.
        gated: They must be accepted there, and pulling needs a token.
    """

    licence: str
    url: str
    gated: bool


def require_accepted(encoder_id: str, terms: Terms, accepted: bool) -> None:
    """Lets a pull begin.

    Raises:
        LicenceNotAccepted: Nobody said yes to the terms.
    """
    if not accepted:
        raise LicenceNotAccepted(
            f"The weights of {encoder_id} come under: {terms.licence or 'a licence that their page states'} ({terms.url}). "
            "Read it; who accepts it says so with --accept-licence (accept_licence in a request)."
        )
