"""Draws loss and accuracy of the shipped encoder's training: `python -m benchmarks.shipped_encoder.curve`."""

from __future__ import annotations

import csv
from pathlib import Path

METRICS = Path(__file__).parent / "metrics.csv"
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "model_card_curve.svg"


def main() -> None:
    """Writes the picture of the model card."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "slicebank"
    import matplotlib.pyplot as plt

    with METRICS.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    steps = [int(row["step"]) for row in rows]
    figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for panel, column, title in zip(
        panels, ("loss", "accuracy"), ("loss", "share of queries nearest to their own key"), strict=True
    ):
        panel.plot(steps, [float(row[column]) for row in rows], color="#2f5d8a")
        panel.set_xlabel("step")
        panel.set_title(title, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})
    print(PICTURE)


if __name__ == "__main__":
    main()
