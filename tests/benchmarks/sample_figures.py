"""Made-up figures in the shape of each benchmark's, for tests of the page."""

from __future__ import annotations

from typing import Any

POINT = {"precision": "fp32", "runners": 2, "threads": 1, "batch": 1, "rows_per_s": 25.0}
RUN = {
    "series": 4,
    "slices": 30,
    "syntax": "uncompressed",
    "rows_per_s": 123.4,
    "of_alone": 0.95,
    "with_upload_rows_per_s": 99.9,
    "with_upload_of_alone": 0.77,
}

FIGURES: dict[str, dict[str, Any]] = {
    "head_training": {
        "bags": 1000,
        "rows": 600,
        "dim": 576,
        "folds": 5,
        "rounds": 3,
        "seconds_an_epoch": {"loop": 30.0, "slicebank": 6.0},
        "spread": {"loop": 0.02, "slicebank": 0.01},
        "times_as_fast": 5.0,
        "needed": {"times_as_fast": 5.0, "reading_over_raw": 1.5},
        "peak_mib": {"loop": 1500.2, "slicebank": 700.4},
        "reading": {
            "mib": 1445.0,
            "seconds": {"raw_cold": 2.0, "cache_cold": 2.6, "raw_warm": 0.3, "cache_warm": 1.5},
            "over_raw_cold": 1.3,
            "over_raw_warm": 5.0,
        },
        "protocol": {"seconds": 222.2, "epochs": [32, 31, 32, 32, 32], "auroc": 1.0, "held_mib": 650.0},
    },
    "pretraining_speed": {
        "batch": 8,
        "parts": 1,
        "needed_ratio": 0.9,
        "architectures": {
            "tiny": {
                "dtype": "float32",
                "threads": 2,
                "slices_per_s": 9.5,
                "resident_slices_per_s": 10.0,
                "views_there_slices_per_s": 10.5,
                "ratio": 0.95,
                "views_share": 0.048,
                "spread": {"cache": 0.02, "device": 0.01, "views": 0.02},
                "rounds": 9,
                "steps_a_turn": 4,
                "readers": 2,
                "read_alone_slices_per_s": 900.0,
                "needed_slices_per_s": None,
            }
        },
    },
    "encoder_alone": {
        "gemm_gflops": {"fp32": 138.6, "bf16": None},
        "encoders": {
            "tiny": {
                "gflop_per_row": 8.93,
                "points": [POINT, {**POINT, "batch": 8, "rows_per_s": 40.0}],
                "best": {**POINT, "batch": 8, "rows_per_s": 40.0, "of_gemm": 0.77},
            }
        },
    },
    "published_loop": {
        "loop": {"batch_size": 1, "num_workers": 2, "images_per_scan": 8},
        "encoders": {
            "tiny": {
                "loop_rows_per_s": 8.0,
                "ours_rows_per_s": 20.0,
                "ratio": 2.5,
                "ours_dtype": "bfloat16",
                "cosine_min": 0.99812,
                "cosine_mean": 0.99951,
            }
        },
    },
    "end_to_end": {
        "encoders": {
            "tiny": {"precision": "bf16", "alone_rows_per_s": 130.0, "runs": [RUN, {**RUN, "syntax": "jpeg-ls"}]}
        }
    },
    "worker_alone": {
        "encoders": {
            "tiny": {"alone_rows_per_s": 130.0, "runs": [{**RUN, "utilisation": 0.98, "stages": {"decode_s": 0.39}}]}
        }
    },
    "latency": {
        "first_bag": {
            "slices": 20,
            "runs": 7,
            "wall_ms": 1500.0,
            "yardstick_ms": {"decode": 90.0, "encode": 1250.0, "write": 40.0},
            "overhead_ms": 120.0,
        },
        "cold_start": {"imports_s": 5.0, "worker_s": 8.5, "beyond_imports_s": 3.5, "api_s": 1.4},
    },
    "prediction_latency": {
        "rows": 600,
        "dim": 576,
        "folds": 5,
        "computed": {"p50_ms": 20.0, "p90_ms": 30.0, "p99_ms": 40.0, "max_ms": 41.0, "asked": 300},
        "known": {"p50_ms": 4.0, "p90_ms": 5.0, "p99_ms": 6.0, "max_ms": 7.0, "asked": 300},
        "parts_ms": {"request": 5.0, "read": 3.0, "predict": 9.0, "tell": 2.0, "store": 1.0},
        "head_alone_ms": 12.0,
        "needed": {"p50_ms": 25.0, "p99_ms": 80.0},
    },
    "memory": {
        "baseline_mib": 400.0,
        "points": [
            {"slices": 3000, "peak_mib": 560.0, "encoder": "dummy"},
            {"slices": 50, "peak_mib": 500.0, "encoder": "dummy"},
            {"slices": 400, "peak_mib": 710.0, "encoder": "large"},
            {"slices": 50, "peak_mib": 700.0, "encoder": "large"},
        ],
        "waiting_jobs": [{"jobs": 1, "peak_mib": 500.0}, {"jobs": 40, "peak_mib": 505.0}],
    },
    "cohort_cost": {
        "encoder": "dummy",
        "points": [
            {"series": 1, "slices_per_series": 10, "seconds_per_1000_slices": 20.0},
            {"series": 500, "slices_per_series": 10, "seconds_per_1000_slices": 21.0},
        ],
    },
    "scaling": {
        "encoder": "sleep",
        "most_rows_per_s_of_one": 20.0,
        "series": 60,
        "slices_per_series": 8,
        "points": [
            {"workers": 1, "rows_per_s": 19.0, "of_one_worker": 1.0},
            {"workers": 4, "rows_per_s": 72.2, "of_one_worker": 3.8},
        ],
        "needed": 3.6,
    },
    "catalogue_size": {
        "limit": 100,
        "rounds": 2,
        "repeats": 40,
        "needed_p95_ms": {"postgresql": 30.0, "sqlite": 60.0},
        "databases": {
            name: [
                {
                    "series": size,
                    "size_bytes": 4_000 * size,
                    "questions": {"one bag": {"p50_ms": 1.0, "p95_ms": 2.0 * at}, "bags": {"p50_ms": 3.0, "p95_ms": 4}},
                }
                for at, size in enumerate((10_000, 100_000), 1)
            ]
            for name in ("postgresql", "sqlite")
        },
    },
    "polling": {
        "clients": 500,
        "every_s": 2.0,
        "seconds": 30,
        "long_polls": 500,
        "streams": 200,
        "needed_p99_ms": 100.0,
        "databases": {
            name: {
                "polling": {
                    "requests": 7500,
                    "errors": 0,
                    "p50_ms": 2.0,
                    "p99_ms": 15.0,
                    "worst_ms": 26.0,
                    "api_core_share": 0.5,
                },
                "waiting": {
                    "most_connections_in_use": 0,
                    "told": 700,
                    "errors": 0,
                    "told_first_ms": 14.0,
                    "told_median_ms": 150.0,
                    "told_last_ms": 285.0,
                },
            }
            for name in ("sqlite", "postgresql")
        },
    },
    "intake": {
        "slices": 300,
        "needed": 0.6,
        "bodies": {
            "stored_zip": {
                "bytes": 157_000_000,
                "share_of_copy_and_sha256": 0.25,
                "share_of_copy": 0.1,
                "web_server_alone": 0.84,
            },
        },
    },
    "decode_rates": {
        "slices": 12,
        "rounds": 3,
        "syntaxes": {
            "RLE": {
                "bytes_per_slice": 300_000,
                "slices_per_s": {"slicebank": {"1": 476.0, "2": 548.0}, "pydicom": {"1": 62.0, "2": 61.0}},
                "pydicom_plugin": "pydicom",
            },
            "JPEG-LS": {
                "bytes_per_slice": 160_000,
                "slices_per_s": {"slicebank": {"1": 131.0, "2": 241.0}, "pydicom": None},
                "pydicom_plugin": None,
            },
        },
        "stages_ms": {"JPEG-LS": {"parse": 0.68, "decode": 6.05}},
    },
    "resize": {
        "candidates": [
            {
                "name": "Pillow",
                "ms_per_slice": 1.9,
                "times_pillow": 1.0,
                "largest": 0,
                "mean": 0.0,
                "within_one": True,
            },
            {
                "name": "linear",
                "ms_per_slice": 0.2,
                "times_pillow": 9.5,
                "largest": 135,
                "mean": 10.4,
                "within_one": False,
            },
        ],
        "winner": "Pillow",
    },
    "int8": {
        "rows": 12,
        "encoders": {
            "tiny": {
                "cosine_min": 0.88,
                "cosine_mean": 0.95,
                "bf16_cosine_min": 0.9983,
                "bf16_cosine_mean": 0.9991,
                "speed_over_bf16": None,
            }
        },
        "needed": {"cosine": 0.999, "speed_over_bf16": 1.4},
    },
}
