"""A fixed result of every shape: several labels with ties, one label with several figures, an undefined fold, a failure."""

from __future__ import annotations

from slicebank.benchmark.results import EncoderResult, TaskResult


def row(encoder: str, title: str, scores: dict[str, dict[str, list[float | None]]], **more: object) -> EncoderResult:
    return EncoderResult(
        encoder=encoder,
        title=title,
        weights_digest=(encoder.encode().hex() * 64)[:64],
        windows=("abdomen", "lung"),
        head_id=(encoder.encode().hex() * 32)[:32],
        scores=scores,
        n_cases=40,
        n_patients=37,
        about={"dim": 16, "level": "slice", "untrained": encoder == "four", "recipe": "r" * 64},
        **more,  # type: ignore[arg-type]
    )


SITES = TaskResult(
    name="sites",
    title="Sites of lesions",
    table=2,
    labels=("Liver", "Lung"),
    metrics=("auroc",),
    judged_on="test",
    note="A note.",
    published=({"model": "BiomedCLIP", "mean": (78.6, 90.9), "sd": (2.4, 0.9)},),
    head={"data set": "deeplesion", "cases": "40 of 37 patients", "training": "folds 3, seed 0"},
    left_out=("3 cases without a known label are left out.",),
    encoders=(
        row("one", "MambaOut-MoCo", {"Liver": {"auroc": [0.8, 0.7, 0.9]}, "Lung": {"auroc": [0.9, 0.9, 0.9]}}),
        row("two", "MambaOut-LECL-0", {"Liver": {"auroc": [0.85, 0.85, 0.85]}, "Lung": {"auroc": [0.91, 0.9, 0.89]}}),
        row("three", "MambaOut-LECL-3", {"Liver": {"auroc": [0.6, 0.7, 0.8]}, "Lung": {"auroc": [0.8, None, 0.7]}}),
        row(
            "four",
            "BiomedCLIP",
            {"Liver": {"auroc": [0.5, 0.6, 0.7]}, "Lung": {"auroc": [None, None, None]}},
            warnings=("Few cases.",),
        ),
    ),
)
STAGE = TaskResult(
    name="stage",
    title="Stage",
    table=4,
    labels=("high_stage",),
    metrics=("auroc", "auprc", "mae"),
    head={"data set": "nsclc_radiomics", "cases": "12 of 12 patients"},
    failed={"five": "Only one class."},
    encoders=(
        row("one", "MambaOut-MoCo", {"high_stage": {"auroc": [0.7, 0.6], "auprc": [0.8, 0.7], "mae": [2.5, 3.5]}}),
        row("two", "MambaOut-LECL-0", {"high_stage": {"auroc": [0.8, 0.6], "auprc": [0.7, 0.7], "mae": [1.25, 1.75]}}),
    ),
)
