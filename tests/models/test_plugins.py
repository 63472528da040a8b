import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import draft_card
from slicebank_models.plugins import GROUP, EncoderPlugin, read_plugins

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
CARD = draft_card("lab.one", "lab_one", licence="none")
GOOD = EncoderPlugin((CARD,), "lab.network:FAMILY")

NO_PLUGIN = {"cards": ()}
LIST_OF_CARDS = EncoderPlugin([CARD])  # type: ignore[arg-type]
NO_CARDS = EncoderPlugin(("lab.one",))  # type: ignore[arg-type]
BAD_FAMILY = EncoderPlugin((CARD,), "lab.network")
TWICE = EncoderPlugin((CARD, CARD))
SHADOW = EncoderPlugin((draft_card(BUILTIN_CARDS[0].id, "lab_one", licence="none"),))

# Lists, adds weights by way of a checkpoint, loads and encodes: what service and worker do.
USE = """
import json, sys
from pathlib import Path
from slicebank_models.registry import EncoderRegistry
folder = Path(sys.argv[1])
registry = EncoderRegistry(folder / "encoders")
listed = [card.id for card in registry.cards() if card.id.startswith("mylab")]
torch_free = "torch" not in sys.modules
problems = registry.problems()
import numpy as np, torch
from slicebank_models.encoders.build import build_encoder
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import install_encoder, load_encoder
card = registry.get("mylab_stripes.v1")
result = {"listed": listed, "torch_free": torch_free, "problems": problems, "parameters": card.parameters}
try:
    torch.manual_seed(0)
    weights = build_encoder(card).weights()
    torch.save({"model": {**weights, "head.weight": torch.zeros(2, 32)}}, folder / "stripes.pth")
    installed, report = install_encoder(registry, card, folder / "stripes.pth")
    encoder = FrozenEncoder(installed, load_encoder(installed, registry.folder))
    features = encoder.encode(np.arange(2 * 64 * 64, dtype=np.int64).reshape(2, 64, 64).astype(np.uint8))
    result |= {"shape": features.shape, "parameters_found": installed.parameters, "dropped": len(report.dropped)}
except Exception as error:
    result["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(result))
"""


def points(**values: str) -> list[EntryPoint]:
    return [EntryPoint(name, f"{__name__}:{value}", GROUP) for name, value in values.items()]


def install(folder: Path, **changes: str) -> None:
    """Installs the package of the page: its files, and the metadata that pip would write."""
    blocks = dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    assert set(blocks) == {"pyproject.toml", "mylab_encoders/__init__.py", "mylab_encoders/network.py"}
    for name, text in (blocks | changes).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    entry = re.search(r"slicebank\.encoders\"\]\n(mylab = )\"(.*)\"", blocks["pyproject.toml"])
    assert entry is not None
    information = folder / "mylab_encoders-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mylab-encoders\nVersion: 1.0\n", encoding="utf-8"
    )
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n{entry[1]}{entry[2]}\n", encoding="utf-8")


def use(folder: Path) -> dict[str, object]:
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{USE}"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_the_package_of_the_page_is_listed_without_torch_and_encodes(tmp_path: Path) -> None:
    install(tmp_path)
    result = use(tmp_path)
    assert "error" not in result
    assert result["listed"] == ["mylab_stripes.v1"]
    assert result["torch_free"] is True
    assert result["problems"] == {}
    assert result["shape"] == [2, 32]
    assert result["parameters"] == result["parameters_found"]
    assert result["dropped"] == 1


def test_a_network_that_cannot_be_imported_is_named_by_the_job_and_harms_no_other(tmp_path: Path) -> None:
    install(tmp_path, **{"mylab_encoders/network.py": "import nothing_of_this_name"})
    result = use(tmp_path)
    assert result["listed"] == ["mylab_stripes.v1"]
    assert "UnknownArchitecture: The plug-in mylab cannot import mylab_encoders.network:FAMILY" in str(result["error"])
    assert "nothing_of_this_name" in str(result["error"])


def test_a_plug_in_that_cannot_be_imported_is_a_sentence_among_the_problems() -> None:
    broken = EntryPoint("broken", "no_package_of_this_name:PLUGIN", GROUP)
    found = read_plugins([broken, *points(good="GOOD")])
    assert list(found.plugins) == ["good"]
    assert found.cards() == (CARD,)
    assert "ModuleNotFoundError" in found.problems["broken"]


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("NO_PLUGIN", "not an EncoderPlugin"),
        ("LIST_OF_CARDS", "no tuple"),
        ("NO_CARDS", "no tuple"),
        ("BAD_FAMILY", "package.module:NAME"),
        ("TWICE", "one id"),
        ("SHADOW", "cannot be replaced"),
        ("ABSENT", "AttributeError"),
    ],
)
def test_what_is_no_plug_in_is_left_out(declared: str, reason: str) -> None:
    found = read_plugins([*points(bad=declared), *points(good="GOOD")])
    assert list(found.plugins) == ["good"]
    assert reason in found.problems["bad"]


def test_the_second_plug_in_with_an_id_is_left_out() -> None:
    found = read_plugins(points(b="GOOD", a="GOOD"))
    assert list(found.plugins) == ["a"]
    assert "lab.one" in found.problems["b"]
    same_name = read_plugins(points(a="GOOD") + points(a="SHADOW"))
    assert "Two packages" in same_name.problems["a"]
