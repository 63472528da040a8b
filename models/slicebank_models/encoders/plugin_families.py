"""Architectures of other packages, imported where encoders run."""

import logging
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module

from slicebank_models.encoders.family import EncoderFamily
from slicebank_models.errors import UnknownArchitecture
from slicebank_models.plugins import installed_plugins

_LOG = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def _load(name: str, path: str) -> EncoderFamily | str:
    """Returns the family, or what is wrong with it."""
    module, _, attribute = path.partition(":")
    try:
        family = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing another package may raise anything
        problem = f"The plug-in {name} cannot import {path}: {type(error).__name__}: {error}"
    else:
        if isinstance(family, EncoderFamily):
            return family
        problem = f"The plug-in {name} names {path}, which is no EncoderFamily."
    _LOG.warning(problem)
    return problem


def plugin_families() -> Iterator[EncoderFamily]:
    """Yields the families of plug-ins that can be imported; of the others, a warning is logged once."""
    for name, plugin in installed_plugins().plugins.items():
        family = _load(name, plugin.family) if plugin.family else ""
        if isinstance(family, EncoderFamily):
            yield family


def require_importable(architecture: str) -> None:
    """Passes unless a plug-in has cards of this architecture and its family cannot be imported.

    Raises:
        UnknownArchitecture: With what went wrong.
    """
    for name, plugin in installed_plugins().plugins.items():
        if plugin.family and any(card.architecture == architecture for card in plugin.cards):
            family = _load(name, plugin.family)
            if isinstance(family, str):
                raise UnknownArchitecture(family)
