"""From results to tables and plots."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import deployment_tables, tables, training_tables
from benchmarks.page.blocks import TABLES, block_names, render
from benchmarks.page.plots import PLOTS, draw
from benchmarks.page.results import ON_PAGE, Machine, read_machines
from tests.benchmarks.sample_figures import FIGURES

ABOUT = {"cpu": "A Processor", "class": "avx2", "cores": 2, "gpu": None, "system": "Linux"}


def document(name: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "benchmark": name,
        "form": "short",
        "figures": FIGURES[name],
        "machine": about,
        "versions": {"torch": "2.0"},
        "measured_at": "2024-02-01T10:00:00+00:00",
    }


def machine(*names: str, gpu: str | None = None) -> Machine:
    about = {**ABOUT, "gpu": gpu}
    return Machine("a-folder", about, {name: document(name, about) for name in names})


def page(*names: str) -> str:
    return "\n\n".join(f"Prose.\n<!-- benchmark: {name} -->\nold\n<!-- end -->" for name in names) + "\nLast.\n"


@pytest.mark.parametrize("name", ON_PAGE)
def test_tables_have_as_many_cells_in_every_line(name: str) -> None:
    for block in TABLES[name](FIGURES[name]).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
        assert len(lines) != 2, "a table without rows"


def test_a_table_says_the_figures() -> None:
    assert "| `tiny` | 8.0 | 20.0 | 2.50 | bfloat16 | 0.99812 | 0.99951 |" in tables.published_loop(
        FIGURES["published_loop"]
    )
    assert "| `tiny` | 8.93 | 25.0 | 40.0 | fp32 | 2 runners, batch 8 | 0.77 |" in tables.encoder_alone(
        FIGURES["encoder_alone"]
    )
    assert "| `dummy` | 3000 | 560 | 60 |" in tables.memory(FIGURES["memory"])
    assert "| `large` | 400 | 710 | 10 |" in tables.memory(FIGURES["memory"]), "each encoder against itself"
    assert "| slicebank | 6.00 | 1 % | 700 |" in training_tables.head_training(FIGURES["head_training"])
    assert "| cold | 2.00 | 2.60 | 1.30 |" in training_tables.head_training(FIGURES["head_training"])
    assert "| 500 | 10 | 21.0 | 1.05 |" in tables.cohort_cost(FIGURES["cohort_cost"])
    assert "| 4 | 72.2 | 3.80 | 0.90 |" in deployment_tables.scaling(FIGURES["scaling"])
    assert "| zip, members stored | 157 | 0.25 | 0.84 | 2.50 |" in deployment_tables.intake(FIGURES["intake"])
    sizes = deployment_tables.catalogue_size(FIGURES["catalogue_size"])
    assert "| p50 / p95, ms | PostgreSQL, 10,000 series | PostgreSQL, 100,000 series | SQLite, 10,000 series |" in sizes
    assert "| one bag | 1.0 / 2.0 | 1.0 / 4.0 | 1.0 / 2.0 | 1.0 / 4.0 |" in sizes


def test_what_is_missing_is_said() -> None:
    assert "bfloat16 rate was not measured" in tables.encoder_alone(FIGURES["encoder_alone"])
    assert tables.decode_rates(FIGURES["decode_rates"]).count("no plugin installed") == 2
    assert "not measured" in tables.int8(FIGURES["int8"])


def test_only_blocks_change() -> None:
    before = page("resize", "memory")
    after = render(before, [machine("resize")])
    assert re.sub(r"(?s)-->\n.*?<!-- end", "", after) == re.sub(r"(?s)-->\n.*?<!-- end", "", before)
    assert "old" not in after
    assert "**A Processor, avx2, 2 cores**: not measured" in after
    assert "(short form)" in after
    assert render(after, [machine("resize")]) == after
    assert block_names(after) == ["resize", "memory"]


def test_without_results_blocks_say_so() -> None:
    assert "Not measured." in render(page("resize"), [])
    assert "No GPU figure has been measured yet" in render(page("gpu"), [machine("resize")])


def test_a_gpu_stands_in_its_own_block() -> None:
    machines = [machine("encoder_alone", gpu="A GPU")]
    assert "Not measured." in render(page("encoder_alone"), machines)
    block = render(page("gpu"), machines)
    assert "**A GPU in A Processor, avx2, 2 cores** (short form)" in block
    assert "![Rows a second over batch size, A GPU" in block


def test_an_unknown_block_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing makes the block tea"):
        render(page("tea"), [])


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_the_same_twice(name: str, tmp_path: Path) -> None:
    pictures = []
    for number in range(2):
        path = tmp_path / f"{number}.svg"
        draw(name, FIGURES[name], path)
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].lstrip().startswith(b"<?xml")


def test_machines_are_read_from_folders(tmp_path: Path) -> None:
    for folder, name in (("b", "resize"), ("a", "memory")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.json").write_text(json.dumps(document(name, ABOUT)))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "phantom_lesions.json").write_text("{}")
    machines = read_machines(tmp_path)
    assert [found.folder for found in machines] == ["a", "b"]
    assert machines[0].figures("memory") == FIGURES["memory"]
    assert machines[0].figures("resize") is None
