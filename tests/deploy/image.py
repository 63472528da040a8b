"""Reading a Dockerfile: what its last stage will run, as whom, and with what environment."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """The last stage of a Dockerfile.

    Attributes:
        steps: instructions as (word, arguments), in order.
        environment: of its ENV instructions; `$PATH` stays as written.
        build: all stages before, as steps.
    """

    steps: list[tuple[str, str]]
    build: list[tuple[str, str]]
    environment: dict[str, str] = field(default_factory=dict)

    def last(self, word: str) -> str:
        return [arguments for step, arguments in self.steps if step == word][-1]

    def command(self, word: str) -> list[str]:
        """The exec form of an instruction; a shell form fails here."""
        parsed = json.loads(self.last(word))
        assert isinstance(parsed, list)
        return parsed

    @property
    def healthcheck(self) -> list[str]:
        return list(json.loads(self.last("HEALTHCHECK").partition("CMD")[2]))

    @property
    def smoke(self) -> list[str]:
        word, arguments = self.steps[-1]
        assert word == "RUN"
        return list(json.loads(arguments))


def read_image(path: Path) -> Image:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n", " ", "\n".join(lines))
    steps = [(word, rest.strip()) for line in whole.splitlines() if line for word, _, rest in [line.partition(" ")]]
    begin = max(index for index, (word, _) in enumerate(steps) if word == "FROM")
    environment: dict[str, str] = {}
    for word, arguments in steps[begin:]:
        if word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(arguments))
    return Image(steps[begin:], steps[:begin], environment)
