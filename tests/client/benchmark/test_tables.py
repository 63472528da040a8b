"""Tables and page from fixed results, letter by letter."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from slicebank.benchmark.page import page_markdown
from slicebank.benchmark.tables import NOTHING, published_markdown, scores_csv, shown, table_markdown, tables_of
from tests.client.benchmark.fixed import SITES, STAGE

GOLDENS = Path(__file__).parent / "goldens"


def test_labels_side_by_side() -> None:
    ((caption, columns),) = tables_of(SITES)
    assert caption == "AUC"
    assert table_markdown(SITES, columns) == (
        "| Model | Liver | Lung | Average |\n"
        "| --- | --- | --- | --- |\n"
        "| MambaOut-MoCo | <u>80.0</u> <sub>10.0</sub> | **90.0** <sub>0.0</sub> | <u>85.0</u> <sub>7.1</sub> |\n"
        "| MambaOut-LECL-0 | **85.0** <sub>0.0</sub> | **90.0** <sub>1.0</sub> | **87.5** <sub>0.7</sub> |\n"
        "| MambaOut-LECL-3 | 70.0 <sub>10.0</sub> | <u>75.0</u> <sub>7.1</sub> | 72.5 <sub>8.7</sub> |\n"
        f"| BiomedCLIP | 60.0 <sub>10.0</sub> | {NOTHING} | {NOTHING} |"
    )


def test_figures_side_by_side_and_smaller_ones_better() -> None:
    ((caption, columns),) = tables_of(STAGE)
    assert caption == ""
    assert table_markdown(STAGE, columns) == (
        "| Model | AUC | AUPRC | MAE |\n"
        "| --- | --- | --- | --- |\n"
        "| MambaOut-MoCo | <u>65.0</u> <sub>7.1</sub> | **75.0** <sub>7.1</sub> | <u>3</u> <sub>0.707</sub> |\n"
        "| MambaOut-LECL-0 | **70.0** <sub>14.1</sub> | <u>70.0</u> <sub>0.0</sub> | **1.5** <sub>0.354</sub> |"
    )


def test_one_model_alone_is_not_the_best() -> None:
    ((_, columns),) = tables_of(STAGE)
    assert "**" not in table_markdown(replace(STAGE, encoders=STAGE.encoders[:1]), columns)


def test_published_rows_stand_in_the_same_columns() -> None:
    ((_, columns),) = tables_of(SITES)
    assert published_markdown(SITES, columns).splitlines()[2:] == [
        "| BiomedCLIP | 78.6 <sub>2.4</sub> | 90.9 <sub>0.9</sub> | 84.8 <sub>1.8</sub> |"
    ]
    assert published_markdown(STAGE, tables_of(STAGE)[0][1]) == ""
    other = replace(SITES, published=({"model": "x", "mean": (1.0,), "sd": (1.0,)},))
    assert published_markdown(other, columns) == ""


def test_csv_holds_every_fold() -> None:
    rows = list(csv.DictReader(io.StringIO(scores_csv(SITES))))
    assert len(rows) == 12
    one = next(row for row in rows if (row["encoder"], row["label"]) == ("three", "Lung"))
    assert one == {
        "task": "sites",
        "encoder": "three",
        "model": "MambaOut-LECL-3",
        "label": "Lung",
        "metric": "auroc",
        "mean": "0.750000",
        "sd": "0.070711",
        "judged_on": "test",
        "folds": "0.800000 nan 0.700000",
    }


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(0.6854, "auroc", "68.5"), (0.5, "c_index", "50.0"), (12.3456, "mae", "12.3"), (-0.2, "r2", "-0.2")],
)
def test_shares_are_in_hundredths(value: float, metric: str, text: str) -> None:
    assert shown(value, metric) == text


def test_the_page_is_the_golden_one() -> None:
    page = page_markdown(
        [SITES, STAGE], {"sites": {"sites/figure3.svg": "Caption 3."}, "": {"figure2.svg": "Caption 2."}}
    )
    assert page == (GOLDENS / "benchmark.md").read_text(encoding="utf-8")
