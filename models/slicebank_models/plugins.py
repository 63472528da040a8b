"""Encoders from other packages: what they declare, and how they are found. No torch here.

A package names an `EncoderPlugin` under the entry point group `slicebank.encoders`; `docs/plugins.md` has a whole example. What is
wrong with a plug-in is kept as a sentence: it costs its own encoders, never the service or the worker.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard

GROUP = "slicebank.encoders"

_FAMILY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncoderPlugin:
    """What a package declares. The module that holds it is imported by the service too, so it must not import torch.

    Attributes:
        cards: Its encoders; ids must be new.
        family: `package.module:NAME` of the `EncoderFamily` that builds the cards' architectures, imported where encoders run. Empty
            where all cards are of architectures that slicebank has, such as `timm:NAME`.
    """

    cards: tuple[EncoderCard, ...]
    family: str = ""


@dataclass(frozen=True, slots=True)
class FoundPlugins:
    """Plug-ins of this installation.

    Attributes:
        plugins: By the name of their entry point, those that can be used.
        problems: What is wrong with the others, or with single cards, a sentence by the name of the entry point.
    """

    plugins: Mapping[str, EncoderPlugin] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def cards(self) -> tuple[EncoderCard, ...]:
        """Returns the cards of all of them."""
        return tuple(card for plugin in self.plugins.values() for card in plugin.cards)


def read_plugins(points: Iterable[EntryPoint], known: Iterable[EncoderCard] = BUILTIN_CARDS) -> FoundPlugins:
    """Loads what entry points name, in the order of their names.

    Args:
        points: Of the group `slicebank.encoders`.
        known: Cards whose ids are taken.
    """
    taken = {card.id for card in known}
    plugins: dict[str, EncoderPlugin] = {}
    problems: dict[str, str] = {}
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        if point.name in plugins or point.name in problems:
            problems[point.name] = f"Two packages call their encoders {point.name!r}; only the first one's are listed."
            continue
        try:
            declared = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing another package may raise anything
            problems[point.name] = f"The plug-in {point.value} cannot be imported: {type(error).__name__}: {error}"
            continue
        if wrong := _what_is_wrong(declared, taken):
            problems[point.name] = f"The plug-in {point.value} is left out: {wrong}"
            continue
        plugins[point.name] = declared
        taken |= {card.id for card in declared.cards}
    for problem in problems.values():
        _LOG.warning(problem)
    return FoundPlugins(plugins, problems)


def _what_is_wrong(declared: object, taken: set[str]) -> str:
    if not isinstance(declared, EncoderPlugin):
        return f"it is a {type(declared).__name__}, not an EncoderPlugin."
    if not isinstance(declared.cards, tuple) or not all(isinstance(card, EncoderCard) for card in declared.cards):
        return "its cards are no tuple of EncoderCard."
    if not isinstance(declared.family, str) or (declared.family and not _FAMILY.fullmatch(declared.family)):
        return f"its family {declared.family!r} is not of the form package.module:NAME."
    ids = [card.id for card in declared.cards]
    if shadowing := sorted(taken & set(ids)):
        return f"the ids {', '.join(shadowing)} are taken; slicebank's own encoders cannot be replaced."
    if len(set(ids)) != len(ids):
        return "two of its cards have one id."
    return ""


@lru_cache(maxsize=1)
def installed_plugins() -> FoundPlugins:
    """Returns the plug-ins of this installation, looked for once a process."""
    return read_plugins(entry_points(group=GROUP))
