from __future__ import annotations

import json
import xml.etree.ElementTree as ET

from slicebank_service.reports.head_report import head_report
from slicebank_service.reports.plots import available_plots, draw_plot
from tests.service.reports.conftest import JSON, LABELS, Shelf
from tests.service.reports.page import Page
from tests.service.reports.written import survival_report, written_report
from tests.service.support import assert_problem


def test_a_page_says_everything_about_a_head_and_loads_nothing(shelf: Shelf) -> None:
    head = shelf.head(written_report(LABELS))
    prediction = shelf.answer(head, shelf.bags[0])
    response = shelf.api.get("/v1/heads/lesions/report")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    page = Page(response.text)
    page.assert_self_contained()
    said = " ".join(page.text.split())
    for expected in (
        "lesions v1",
        head,
        LABELS[1],
        "AUROC",
        "[0.850, 0.960]",
        "0.930 ± 0.020",
        "temperature, fitted on 96 out-of-fold predictions",
        "0.080 0.030",
        "judged by the test part alone",
        "abmil",
        "seed",
        "7",
        "torch 2.9",
        "few to learn from",
        "hu_statistics",
        shelf.bags[0].series_uid,
        "Where it looks",
    ):
        assert expected in said, expected
    assert "patient-3" not in response.text
    titles = [attributes["aria-label"] for attributes in page.named("svg")]
    assert titles.count("ROC") == 2
    assert {"Precision and recall", "Calibration", "Confusion", "Training", "Folds"} <= set(titles)
    # The five slices of the answer, the most attended first.
    assert [attributes["alt"] for attributes in page.named("img")] == [f"slice {at}" for at in (4, 3, 2, 1, 0)]
    assert prediction


def test_names_of_labels_are_text_and_nothing_else(shelf: Shelf) -> None:
    hostile = ['"><img src=x onerror=alert(1)>', "_hidden", "$\\frac{1}{0}$ & {{ 7*7 }}", "肝臓"]
    shelf.head(written_report(hostile))
    page = Page(shelf.api.get("/v1/heads/lesions/report").text)
    page.assert_self_contained()
    for label in hostile:
        assert page.text.count(label) >= 2, label
    assert "49" not in page.html.partition("{{ 7*7 }}")[2][:10]
    assert page.named("img") == []


def test_figures_as_files(shelf: Shelf) -> None:
    shelf.head(written_report(LABELS))
    plots = shelf.api.get("/v1/heads/lesions/plots").json()["items"]
    assert {(plot["name"], plot["part"]) for plot in plots} == {
        *(
            (name, part)
            for name in ("roc", "precision_recall", "calibration", "confusion")
            for part in ("pooled", "test")
        ),
        ("training", "pooled"),
        ("folds", "pooled"),
    }
    for plot in plots:
        response = shelf.api.get(f"/v1/heads/lesions/plots/{plot['name']}", params={"part": plot["part"]})
        assert response.headers["content-type"] == "image/svg+xml"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        root = ET.fromstring(response.content)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [element for element in root.iter() if element.tag.endswith(("script", "image", "foreignObject"))]
    roc = shelf.api.get("/v1/heads/lesions/plots/roc")
    texts = [element.text for element in ET.fromstring(roc.content).iter("{http://www.w3.org/2000/svg}text")]
    assert any(text and text.startswith("lung <script>alert(1)</s") for text in texts)
    assert roc.content == shelf.api.get("/v1/heads/lesions/plots/roc").content
    assert roc.content != shelf.api.get("/v1/heads/lesions/plots/roc", params={"part": "test"}).content
    problem = assert_problem(shelf.api.get("/v1/heads/lesions/plots/kaplan_meier"), 404, "unknown_plot")
    assert "roc (pooled)" in problem["detail"]
    assert_problem(shelf.api.get("/v1/heads/lesions/plots/nothing"), 404, "unknown_plot")
    assert_problem(shelf.api.get("/v1/heads/other/plots"), 404, "unknown_head")


def test_survival_and_regression(shelf: Shelf) -> None:
    shelf.head(survival_report(), "death")
    plots = {plot["name"] for plot in shelf.api.get("/v1/heads/death/plots").json()["items"]}
    assert "kaplan_meier" in plots
    page = Page(shelf.api.get("/v1/heads/death/report").text)
    assert "C-index" in page.text
    assert "0.710 [0.630, 0.790]" in page.text
    assert "log-rank p = 0.012" in page.text
    values = written_report(["volume"])
    values["task"] = {"kind": "regression", "labels": ["volume"], "outputs": ["volume"]}
    values["pooled"], values["curves"] = {"mae": 3.2, "r2": -0.04, "labels": {"volume": {"n": 96, "mae": 3.2}}}, {}
    shelf.head(values, "volume")
    names = {plot["name"] for plot in shelf.api.get("/v1/heads/volume/plots").json()["items"]}
    assert names == {"scatter", "training", "folds"}
    assert "\N{MINUS SIGN}0.040" in shelf.api.get("/v1/heads/volume/report").text


def test_reports_of_older_versions_have_a_page(shelf: Shelf) -> None:
    whole = written_report(["a"], n=60)
    # One figure is enough to see that the others may be missing, and takes a tenth of the time.
    whole["curves"] = {"pooled": {"a": {"roc": whole["curves"]["pooled"]["a"]["roc"]}}}
    tables = {key: value for key, value in whole.items() if key not in ("curves", "folds")}
    older: list[JSON] = [{}, {key: value for key, value in whole.items() if key not in ("pooled", "task")}]
    older += [{key: value for key, value in tables.items() if key != missing} for missing in tables]
    head = shelf.world.catalogue.heads.get("default", shelf.head(whole))
    assert head is not None
    for report in older:
        Page(head_report(shelf.api.app.state.context, head, report, [])).assert_self_contained()
        assert all(draw_plot(report, name, part) is not None for name, part in available_plots(report))


def test_a_damaged_report_costs_figures_and_no_page(shelf: Shelf) -> None:
    report: JSON = written_report(LABELS)
    report["curves"]["pooled"][LABELS[0]] = {"roc": {"fpr": [0.0, 1.0], "tpr": ["no", 1.0]}, "pr": 3}
    report["curves"]["test"] = [1, 2]
    report["folds"][0]["curve"] = {"train_loss": [None, 0.2], "validation_loss": [float(1), None]}
    json.dumps(report)
    shelf.head(report)
    assert shelf.api.get("/v1/heads/lesions/report").status_code == 200


def test_a_head_that_is_not_trained_has_no_page(shelf: Shelf) -> None:
    head = shelf.head({}, trained=False)
    for path in ("report", "plots", "plots/roc"):
        assert_problem(shelf.api.get(f"/v1/heads/{head}/{path}"), 409, "head_not_ready")
