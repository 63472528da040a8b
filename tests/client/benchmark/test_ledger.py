"""What was embedded is remembered, whatever cut the file off."""

from __future__ import annotations

from pathlib import Path

from slicebank.benchmark.ledger import Embedded, Ledger


def line(case: str, mark: str = "m") -> Embedded:
    return Embedded(case, mark, "w" * 64, ("1.2",), ("b" * 32,))


def test_the_last_line_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "timm:vit/x")
    assert ledger.get("a") is None
    ledger.put(line("a"))
    ledger.put(line("b"))
    ledger.put(line("a", "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["timm_vit_x.jsonl"]
    again = Ledger(tmp_path, "timm:vit/x")
    assert again.get("a") == line("a", "other")
    assert again.get("b") == line("b")


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "one")
    ledger.put(line("a"))
    path = tmp_path / "one.jsonl"
    whole = path.read_text()
    ledger.put(line("b"))
    path.write_text(path.read_text()[: len(whole) + 30])
    cut = Ledger(tmp_path, "one")
    assert (cut.get("a"), cut.get("b")) == (line("a"), None)
    cut.put(line("c"))
    assert Ledger(tmp_path, "one").get("c") == line("c")
