"""The table of docs/parity.md, made from the goldens: `python -m tests.models.parity.page` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.models.parity.goldens import FOLDER, read_golden

PAGE = Path(__file__).parents[3] / "docs" / "parity.md"
BEGIN, END = "<!-- goldens -->", "<!-- end -->"


def table() -> str:
    """One line a golden."""
    lines = [
        "| golden | official implementation | at | tensors | numbers compared |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FOLDER.glob("*.json")):
        golden = read_golden(path.stem)
        official = golden.official
        where = official.get("repository") or official.get("package") or official["code"]
        at = official.get("commit", "")[:12] or official["version"]
        compared = golden.features.numel() + sum(part.numel() for part in golden.parts.values())
        lines.append(
            f"| `{path.stem}` | {where}, `{official['class']}` | `{at}` | {len(golden.parameters):,} | {compared:,} |"
        )
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table of today's goldens."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
