"""From the figures of one benchmark on one machine to Markdown; one function a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
NOT_MEASURED = "not measured"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None, digits: int = 2) -> str:
    """A figure with so many decimals, or `not measured`."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def rate(value: float | None) -> str:
    """Rows or slices a second: three significant digits are more than such a figure is worth."""
    return number(value, 0 if value is not None and value >= 100 else 1)


def encoder_alone(figures: Figures) -> str:
    """Best way to run each encoder, and how near it comes to the matrix product."""
    gemm = figures["gemm_gflops"]
    rows = []
    for name, encoder in figures["encoders"].items():
        best = encoder["best"]
        alone = [
            point["rows_per_s"] for point in encoder["points"] if point["batch"] == 1 and point["precision"] == "fp32"
        ]
        rows.append(
            [
                f"`{name}`",
                number(encoder["gflop_per_row"]),
                rate(max(alone, default=None)),
                rate(best["rows_per_s"]),
                best["precision"],
                _way(best),
                number(best["of_gemm"]),
            ]
        )
    header = (
        "encoder",
        "GFLOP a row",
        "rows/s, batch 1, fp32",
        "rows/s at best",
        "precision",
        "runs as",
        "of GEMM",
    )
    return f"{_gemm(gemm)}\n\n{table(header, rows)}"


def _way(best: Figures) -> str:
    threads = f" of {best['threads']} threads" if best.get("threads", 1) > 1 else ""
    return f"{best['runners']} runner{'s' if best['runners'] > 1 else ''}{threads}, batch {best['batch']}"


def _gemm(gflops: Mapping[str, float | None]) -> str:
    low = gflops.get("bf16")
    second = "its bfloat16 rate was not measured" if low is None else f"{low:.0f} in bfloat16"
    return f"The plain matrix product (GEMM) reaches {number(gflops['fp32'], 0)} GFLOP/s in float32; {second}."


def published_loop(figures: Figures) -> str:
    """The published loop and slicebank side by side."""
    return table(
        ("encoder", "loop, rows/s", "slicebank, rows/s", "times", "slicebank ran in", "centred cosine, least", "mean"),
        (
            [
                f"`{name}`",
                rate(encoder["loop_rows_per_s"]),
                rate(encoder["ours_rows_per_s"]),
                number(encoder["ratio"]),
                encoder["ours_dtype"],
                number(encoder["cosine_min"], 5),
                number(encoder["cosine_mean"], 5),
            ]
            for name, encoder in figures["encoders"].items()
        ),
    )


def end_to_end(figures: Figures) -> str:
    """From upload acknowledged to last bag, and with the upload."""
    return table(
        (
            "encoder",
            "precision",
            "series at once",
            "slices",
            "syntax",
            "rows/s",
            "of encoder alone",
            "with upload, rows/s",
            "of encoder alone",
        ),
        (
            [
                f"`{name}`",
                encoder["precision"],
                str(run["series"]),
                str(run["slices"]),
                run["syntax"],
                rate(run["rows_per_s"]),
                number(run["of_alone"]),
                rate(run["with_upload_rows_per_s"]),
                number(run["with_upload_of_alone"]),
            ]
            for name, encoder in figures["encoders"].items()
            for run in encoder["runs"]
        ),
    )


def worker_alone(figures: Figures) -> str:
    """From files on disk to features, without service and store."""
    return table(
        ("encoder", "alone, rows/s", "series", "syntax", "rows/s", "of encoder alone", "device busy", "stages"),
        (
            [
                f"`{name}`",
                rate(encoder["alone_rows_per_s"]),
                str(run["series"]),
                run["syntax"],
                rate(run["rows_per_s"]),
                number(run["of_alone"]),
                number(run["utilisation"]),
                ", ".join(f"`{stage}` {number(value)}" for stage, value in run["stages"].items()),
            ]
            for name, encoder in figures["encoders"].items()
            for run in encoder["runs"]
        ),
    )


def latency(figures: Figures) -> str:
    """The first bag of an idle worker, and what a cold start takes."""
    bag, cold = figures["first_bag"], figures["cold_start"]
    parts = [bag["yardstick_ms"][stage] for stage in ("decode", "encode", "write")]
    first = table(
        ("first bag", "wall, ms", "decode, ms", "encode, ms", "write, ms", "overhead beyond these, ms"),
        [
            [f"{bag['slices']} slices, median of {bag['runs']}"]
            + [number(value, 0) for value in (bag["wall_ms"], *parts, bag["overhead_ms"])]
        ],
    )
    second = table(
        ("cold start", "s"),
        [
            ["`import torch, timm`", number(cold["imports_s"])],
            ["worker, ready", number(cold["worker_s"])],
            ["worker, beyond the imports", number(cold["beyond_imports_s"])],
            ["API, ready", number(cold["api_s"])],
        ],
    )
    return f"{first}\n\n{second}"


def memory(figures: Figures) -> str:
    """The worker's peak over the length of a series and over jobs that wait."""
    points = sorted(figures["points"], key=lambda point: (point["encoder"], point["slices"]))
    shortest = {point["encoder"]: point["peak_mib"] for point in reversed(points)}
    lengths = table(
        ("encoder", "slices", "peak, MiB", "above its shortest, MiB"),
        (
            [
                f"`{point['encoder']}`",
                str(point["slices"]),
                number(point["peak_mib"], 0),
                number(point["peak_mib"] - shortest[point["encoder"]], 0),
            ]
            for point in points
        ),
    )
    jobs = table(
        ("waiting jobs", "peak, MiB"),
        ([str(point["jobs"]), number(point["peak_mib"], 0)] for point in figures["waiting_jobs"]),
    )
    return f"An idle worker takes {number(figures['baseline_mib'], 0)} MiB.\n\n{lengths}\n\n{jobs}"


def cohort_cost(figures: Figures) -> str:
    """Cost per 1,000 slices; flat means that a large cohort costs no more a slice than a small one."""
    points = sorted(figures["points"], key=lambda point: point["series"])
    first = points[0]["seconds_per_1000_slices"]
    rows = table(
        ("series", "slices a series", "s per 1,000 slices", "of the smallest cohort's"),
        (
            [
                str(point["series"]),
                str(point["slices_per_series"]),
                number(point["seconds_per_1000_slices"], 1),
                number(point["seconds_per_1000_slices"] / first),
            ]
            for point in points
        ),
    )
    return f"Encoder: `{figures['encoder']}`.\n\n{rows}"


def decode_rates(figures: Figures) -> str:
    """Slices a second per syntax and decoder, then milliseconds a step."""
    counts = sorted({count for found in figures["syntaxes"].values() for count in found["slices_per_s"]["slicebank"]})
    rows = []
    for name, found in figures["syntaxes"].items():
        plain = found["slices_per_s"]["pydicom"] or {}
        rows.append(
            [
                name,
                number(found["bytes_per_slice"] / 1000, 0),
                *(rate(found["slices_per_s"]["slicebank"][count]) for count in counts),
                *(rate(plain[count]) if count in plain else "no plugin installed" for count in counts),
                found["pydicom_plugin"] or "",
            ]
        )
    threads = [f"{count} thread{'s' if count != '1' else ''}" for count in counts]
    header = ["transfer syntax", "kB a slice", *(f"slicebank, {count}" for count in threads)]
    rates = table([*header, *(f"pydicom, {count}" for count in threads), "pydicom's plugin"], rows)
    stages = list(next(iter(figures["stages_ms"].values())))
    steps = table(
        ("ms a slice, one thread", *stages),
        ([name, *(number(found[stage]) for stage in stages)] for name, found in figures["stages_ms"].items()),
    )
    return f"Slices a second:\n\n{rates}\n\n{steps}"


def resize(figures: Figures) -> str:
    """Every way to resize that was tried."""
    rows = table(
        ("way", "ms a slice (2 rows)", "times as fast as Pillow", "largest difference", "mean", "within 1 level"),
        (
            [
                row["name"],
                number(row["ms_per_slice"]),
                number(row["times_pillow"]),
                str(row["largest"]),
                number(row["mean"], 4),
                "yes" if row["within_one"] else "no",
            ]
            for row in sorted(figures["candidates"], key=lambda row: row["ms_per_slice"])
        ),
    )
    return f"{rows}\n\nFastest within 1 grey level: **{figures['winner']}**."


def int8(figures: Figures) -> str:
    """Features in int8 and in bfloat16 against float32, and what int8 would have to reach."""
    rows = table(
        ("encoder", "int8 cosine, least", "mean", "bfloat16 cosine, least", "mean", "int8, times as fast as bfloat16"),
        (
            [
                f"`{name}`",
                *(
                    number(encoder[key], 4)
                    for key in ("cosine_min", "cosine_mean", "bf16_cosine_min", "bf16_cosine_mean")
                ),
                number(encoder["speed_over_bf16"]),
            ]
            for name, encoder in figures["encoders"].items()
        ),
    )
    needed = figures["needed"]
    return (
        f"{rows}\n\nCosines over {figures['rows']} rows. To be offered, int8 needs a least cosine of {needed['cosine']:g} "
        f"and {needed['speed_over_bf16']:g} times the speed of bfloat16."
    )


def wanted(figure: float, needed: float, *, at_most: bool) -> str:
    """What was wanted of a figure, and whether it is so."""
    met = figure <= needed if at_most else figure >= needed
    return f"wanted: at {'most' if at_most else 'least'} {number(needed, 1)}, {'met' if met else '**not met**'}"
