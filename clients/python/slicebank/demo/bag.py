"""Downloading a bag, saying what is in it, and a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from slicebank.bagfile import load_bag
from slicebank.client import Client
from slicebank.demo.picture import draw_bag
from slicebank.demo.steps import Steps
from slicebank.errors import NotFound


def show_bag(steps: Steps, client: Client, bag_id: str, results: Path, *, picture: bool = False) -> dict[str, Any]:
    """Download one bag into the results, print its shape, and draw it if asked; returns what was written."""
    bag = client.bags.get(bag_id)
    path = client.bags.download(bag_id, results / f"{bag_id}.h5")
    arrays = load_bag(path)
    rows, dim = arrays.features.shape
    steps.tell(
        f"bag {bag_id}: [bold]{rows} x {dim}[/] {arrays.features.dtype} "
        f"= {bag.n_slices} slices x {len(bag.windows) or 1} windows, encoder {escape(bag.encoder)}"
    )
    untrained = _is_untrained(client, bag.encoder)
    if untrained:
        steps.tell(
            f"[yellow]{escape(bag.encoder)} is untrained[/]: its weights come from a formula, so these rows show "
            "that the path works and mean nothing clinically yet"
        )
    steps.tell(f"saved as [cyan]{escape(str(path))}[/]")
    told: dict[str, Any] = {"bag_id": bag_id, "shape": [rows, dim], "file": str(path), "untrained": untrained}
    if picture:
        target = path.with_suffix(".png")
        note = f"{bag.encoder}{' (untrained weights)' if untrained else ''}"
        draw_bag(arrays, target, title=f"{bag.n_slices} slices, {note}")
        steps.tell(f"picture of it: [cyan]{escape(str(target))}[/]")
        told["picture"] = str(target)
    return told


def _is_untrained(client: Client, encoder: str) -> bool:
    try:
        return client.encoders.get(encoder).untrained
    except NotFound:
        return False  # removed since the bag was made
