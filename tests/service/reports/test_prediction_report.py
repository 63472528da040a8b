from __future__ import annotations

import json
from dataclasses import replace

from slicebank_store.catalogue import PredictionRecord
from tests.service.reports.conftest import LABELS, Shelf
from tests.service.reports.page import Page
from tests.service.reports.written import written_report
from tests.service.support import assert_problem


def test_a_page_says_everything_about_a_prediction(shelf: Shelf) -> None:
    head = shelf.head(written_report(LABELS))
    bag = shelf.bags[1]
    prediction = shelf.answer(head, bag)
    response = shelf.api.get(f"/v1/predictions/{prediction}/report", params={"top": 3})
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page = Page(response.text)
    page.assert_self_contained()
    said = " ".join(page.text.split())
    stored = shelf.world.catalogue.predictions.get("default", prediction)
    assert stored is not None
    top = sorted(stored.attention["slices"], key=lambda item: item["rank"])[0]
    for expected in (
        "lesion 75%",
        "0.750",
        "lesions v1",
        head,
        bag.series_uid,
        bag.study_uid,
        bag.bag_id,
        "not calibrated",
        top["sop_instance_uid"],
        f"slice {top['slice_index']}",
        f"{100 * top['weight']:.1f} %",
        "abmil",
    ):
        assert expected in said, expected
    assert len(page.named("img")) == 3
    assert [svg["aria-label"] for svg in page.named("svg")] == ["Attention over the slices"]
    for window in bag.windows:
        assert f"{window['name']} window" in page.text
    assert_problem(shelf.api.get("/v1/predictions/0000/report"), 404, "unknown_prediction")


def test_what_was_learnt_from_calibrated_or_attended_by_label_is_said(shelf: Shelf) -> None:
    head = shelf.head(written_report(LABELS))
    record = shelf.world.catalogue.predictions.get("default", shelf.answer(head, shelf.bags[0]))
    assert record is not None
    weights = [row["weight"] for row in record.attention["rows"]]
    by_label = [{"label": "lesion", "weights": weights[::-1], "logits": weights}]
    changed = replace(
        record,
        outputs=[{**record.outputs[0], "calibrated": True, "raw_probability": 0.81}],
        attention={**record.attention, "labels": by_label},
        about={"in_training": True, "rule": "largest", "series": []},
    )
    page = Page(_page(shelf, changed))
    page.assert_self_contained()
    assert "has learnt from this patient" in page.text
    assert "calibrated: temperature" in page.text
    assert "0.810" in page.text
    assert [svg["aria-label"] for svg in page.named("svg")][1:] == ["Attention for lesion"]


def test_values_and_bags_without_slices(shelf: Shelf) -> None:
    head = shelf.head(written_report(LABELS))
    record = shelf.world.catalogue.predictions.get("default", shelf.answer(head, shelf.bags[0]))
    assert record is not None
    row = {**record.attention["rows"][0], "slice_index": -1, "window": None, "sop_instance_uid": None, "weight": 1.0}
    changed = replace(
        record,
        outputs=[{"label": "death", "probability": None, "logit": None, "fold_std": 0.1, "value": -0.42}],
        attention={"rows": [row], "slices": []},
        bag_id="gone",
    )
    page = Page(_page(shelf, changed))
    page.assert_self_contained()
    assert "death \N{MINUS SIGN}0.420" in page.text
    assert "reads the scan as a whole" in page.text
    assert page.named("svg") == page.named("img") == []
    json.dumps(changed.attention)


def _page(shelf: Shelf, prediction: PredictionRecord) -> str:
    from slicebank_service.reports.prediction_report import prediction_report

    return prediction_report(shelf.api.app.state.context, prediction, 4)
