"""What any reference stands for: models of the hub and of timm besides published encoders.

A model of the hub needs its small JSON files. The architectures of timm and transformers need torch, and are imported only for them.
"""

import json
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from slicebank_models.cards import JSON, EncoderCard
from slicebank_models.checkpoint_files import WEIGHTS_NAMES
from slicebank_models.errors import BadReference, NotOnHub
from slicebank_models.hub.access import Hub, HubAccess
from slicebank_models.hub.published import PullPlan, pinned, published_plan
from slicebank_models.hub.references import HubReference, PublishedReference, Reference, TimmReference
from slicebank_models.hub.terms import Terms
from slicebank_models.plain_files import plain_file
from slicebank_models.registry import EncoderRegistry
from slicebank_models.weights_source import WeightsSource

_MOST_JSON_BYTES = 4 * 1024 * 1024


def plan_pull(
    reference: Reference,
    registry: EncoderRegistry,
    access: HubAccess,
    *,
    encoder_id: str | None = None,
    architecture: str | None = None,
    sha256: str | None = None,
) -> PullPlan:
    """Plans what a reference stands for.

    Args:
        reference: What the user named.
        registry: Knows the published cards.
        access: Where repositories are.
        encoder_id: Id to register under; by default the card's own, or one made of the repository's name.
        architecture: For a checkpoint file of a repository, where the file does not tell.
        sha256: Of the file, hex; another file will be refused.

    Raises:
        EncoderError: The reference cannot be pulled.
        HubError: The hub cannot be asked about it.
    """
    if isinstance(reference, PublishedReference):
        return published_plan(reference, registry, access, encoder_id=encoder_id, sha256=sha256)
    if isinstance(reference, TimmReference):
        return _timm_plan(reference, access, encoder_id=encoder_id, sha256=sha256)
    hub = access.open()
    terms = hub.terms(reference.place, reference.revision)
    if reference.file is None and architecture is None:
        return _transformers_plan(reference, hub, terms, encoder_id=encoder_id, sha256=sha256)
    file = reference.file or _weights_name(hub, reference)
    source = WeightsSource(
        reference.repo, file, reference.revision, sha256 or "", terms.gated, terms.url, reference.dataset
    )
    chosen = encoder_id or plain_id(reference.repo.replace("/", "."), PurePosixPath(file).stem)
    return PullPlan(chosen, source, terms, None, architecture)


def folder_card(folder: Path, encoder_id: str | None) -> EncoderCard | None:
    """Returns the card of a model of transformers that lies in a folder; None where its config.json is not one's.

    Raises:
        EncoderError: The model cannot be used.
    """
    configs = [_local_json(folder, name) for name in ("config.json", "preprocessor_config.json")]
    if configs[0] is None or "model_type" not in configs[0]:
        return None
    from slicebank_models.encoders.hf_model import draft_hf_card

    place = f"local/{plain_id(folder.resolve().name)}"
    return draft_hf_card(
        place, configs[0], configs[1], encoder_id=encoder_id or plain_id("hf", place.replace("/", "."))
    )


def _local_json(folder: Path, name: str) -> JSON | None:
    path = plain_file(folder, name)
    if path is None or path.stat().st_size > _MOST_JSON_BYTES:
        return None
    try:
        read = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def plain_id(*parts: str) -> str:
    """Returns an encoder id made of words: what cannot stand in one becomes a dash."""
    joined = ".".join(part for part in parts if part)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", joined).lstrip("._-")[:128] or "encoder"


def _timm_plan(reference: TimmReference, access: HubAccess, *, encoder_id: str | None, sha256: str | None) -> PullPlan:
    from slicebank_models.encoders.timm_model import draft_timm_card

    card = draft_timm_card(reference.name, encoder_id=encoder_id)
    if card.source is None:
        raise BadReference(f"timm publishes no weights for {reference.name}; see `timm.list_pretrained()`.")
    source = pinned(card.source, sha256)
    page = source.licence_url or access.page(source.place)
    return PullPlan(card.id, source, Terms(card.licence, page, source.gated), replace(card, source=source))


def _transformers_plan(
    reference: HubReference, hub: Hub, terms: Terms, *, encoder_id: str | None, sha256: str | None
) -> PullPlan:
    from slicebank_models.encoders.hf_model import draft_hf_card

    config = _json(hub, reference, "config.json")
    if config is None:
        raise NotOnHub(
            f"{reference.repo} has no config.json, so it is no model of transformers; name its checkpoint as hf:{reference.place}:FILE."
        )
    file = _weights_name(hub, reference)
    card = draft_hf_card(
        reference.repo, config, _json(hub, reference, "preprocessor_config.json"), encoder_id=encoder_id
    )
    source = WeightsSource(
        reference.repo, file, reference.revision, sha256 or "", terms.gated, terms.url, reference.dataset
    )
    return PullPlan(card.id, source, terms, replace(card, source=source, licence=terms.licence or card.licence))


def _weights_name(hub: Hub, reference: HubReference) -> str:
    for name in WEIGHTS_NAMES:
        if hub.find(reference.place, name, reference.revision) is not None:
            return name
    raise NotOnHub(
        f"{reference.repo} has none of {', '.join(WEIGHTS_NAMES)}; name its checkpoint as hf:{reference.place}:FILE."
    )


def _json(hub: Hub, reference: HubReference, file: str) -> JSON | None:
    if hub.find(reference.place, file, reference.revision) is None:
        return None
    try:
        read = json.loads(hub.read(reference.place, file, reference.revision, _MOST_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise NotOnHub(f"{file} of {reference.repo} is no JSON.") from error
    if not isinstance(read, dict):
        raise NotOnHub(f"{file} of {reference.repo} is no JSON object.")
    return read
