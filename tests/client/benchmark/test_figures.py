"""Figures 2 and 3: what is drawn where, and the same bytes each time."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from slicebank.benchmark.figure2 import Variant, draw_figure2, points_csv, variant_of
from slicebank.benchmark.figure3 import WINDOW_COLOURS, draw_figure3, slices_to_show
from tests.client.benchmark.fixed import SITES, STAGE


def texts(path: Path) -> list[str]:
    return [
        "".join(item.itertext()).strip() for item in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize(
    ("title", "variant"),
    [
        ("MambaOut-LECL-0", Variant("MambaOut", 0.0)),
        ("ViT B LECL 2.5", Variant("ViT B", 2.5)),
        ("vmamba-moco", Variant("vmamba", None)),
        ("BiomedCLIP", None),
        ("LECL-0", None),
        ("MambaOut-LECL-x", None),
    ],
)
def test_titles_say_the_variant(title: str, variant: Variant | None) -> None:
    assert variant_of(title) == variant


def test_figure_2_over_lesion_weights(tmp_path: Path) -> None:
    draw_figure2([SITES, STAGE], tmp_path / "figure2.svg")
    said = texts(tmp_path / "figure2.svg")
    assert {"Sites of lesions", "Stage", "lesion weight λ", "AUC x 100", "0", "3"} <= set(said)
    # Each once, however many panels; a figure that is not defined has no line.
    assert sorted(text for text in said if "MambaOut" in text or "Bio" in text) == ["MambaOut, LECL", "MambaOut, MoCo"]
    before = (tmp_path / "figure2.svg").read_bytes()
    draw_figure2([SITES, STAGE], tmp_path / "figure2.svg")
    assert (tmp_path / "figure2.svg").read_bytes() == before


def test_figure_2_without_lesion_weights(tmp_path: Path) -> None:
    plain = replace(SITES, encoders=tuple(replace(row, title=f"Model {row.encoder}") for row in SITES.encoders))
    draw_figure2([plain], tmp_path / "figure2.svg")
    said = texts(tmp_path / "figure2.svg")
    assert {"Model one", "Model two", "Model three"} <= set(said)
    assert "lesion weight λ" not in said


def test_figure_2_as_a_table() -> None:
    assert points_csv([SITES, STAGE]).splitlines()[:3] == [
        "task,title,model,architecture,lesion_weight,metric,mean,sd",
        "sites,Sites of lesions,MambaOut-MoCo,MambaOut,,auroc,0.850000,0.070711",
        "sites,Sites of lesions,MambaOut-LECL-0,MambaOut,0,auroc,0.875000,0.007071",
    ]


def attention() -> dict[str, object]:
    windows = {"abdomen": [[0, 0.1], [1, 0.5], [2, 0.0]], "lung": [[0, 0.1], [1, 0.1], [2, 0.2]]}
    return {
        "one": {"windows": windows},
        "two": {"windows": {"full": [[0, 0.2], [1, 0.2], [2, 0.6]]}},
        "scan": {"windows": {}},
    }


def test_figure_3(tmp_path: Path) -> None:
    found = attention()
    assert slices_to_show(found, 2) == [1, 2]
    buffer = BytesIO()
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(buffer, format="PNG")
    pictures = {(index, window): buffer.getvalue() for index in (1, 2) for window in ("abdomen", "lung")}
    path = tmp_path / "figure3.svg"
    titles = {"one": "MambaOut", "two": "Statistics", "scan": "Merlin"}
    assert draw_figure3("000001_01_01", found, titles, pictures, path)
    said = texts(path)
    assert {"Case 000001_01_01", "A  MambaOut", "B  Statistics", "C  abdomen window, slice 1", "slice 2"} <= set(said)
    # An encoder of scans has no attention over slices.
    assert not any("Merlin" in text for text in said)
    svg = path.read_text(encoding="utf-8")
    assert all(colour in svg for colour in WINDOW_COLOURS.values())
    images = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", svg)
    assert len(images) == 4
    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(images[0]))).convert("L"))
    assert abs(int(drawn[drawn.shape[0] // 2, drawn.shape[1] // 2]) - 77) <= 1
    draw_figure3("000001_01_01", found, titles, pictures, path)
    assert path.read_text(encoding="utf-8") == svg


def test_blue_is_the_abdomen_and_red_the_lung() -> None:
    rgb = {window: tuple(bytes.fromhex(colour[1:])) for window, colour in WINDOW_COLOURS.items()}
    assert rgb["abdomen"].index(max(rgb["abdomen"])) == 2
    assert rgb["lung"].index(max(rgb["lung"])) == 0


def test_figure_3_without_pictures_or_attention(tmp_path: Path) -> None:
    assert draw_figure3("x", attention(), {"one": "A", "two": "B", "scan": "C"}, {}, tmp_path / "a.svg")
    assert not draw_figure3("x", {"scan": {"windows": {}}}, {"scan": "C"}, {}, tmp_path / "b.svg")
    assert not (tmp_path / "b.svg").exists()
