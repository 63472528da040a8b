"""What to do next after a refusal of the server, by its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LISTS: Mapping[str, str] = {
    "unknown_bag": "bags list",
    "unknown_encoder": "encoders list",
    "unknown_group": "cohort list",
    "unknown_head": "heads list",
    "unknown_job": "jobs list",
    "unknown_series": "series list",
    "unknown_source": "sources list",
}
"""What lists the things of which one was not found."""

WORDS: Mapping[str, str] = {
    "admins_only": "Give the key of an administrator with --api-key; SLICEBANK_ADMIN_KEY of the service is it.",
    "study_not_found": "Ask with fewer keys, or with wildcards and ranges such as StudyDate=20240101-20241231.",
}
"""Refusals that are answered by asking otherwise."""

OPTIONS: Mapping[str, str] = {
    "missing_rescale": "--assume-rescale SLOPE,INTERCEPT takes them with the rescale that you know",
    "not_hu": "--force not_hu takes the values as they are",
    "unknown_stack": "--stack all takes every stack of a series",
}
"""Options of an upload that admit what was refused with a code."""


def hint_for(code: str, problem: Mapping[str, Any]) -> str | None:
    """A sentence for a refusal; None where nothing more than its class is known of it."""
    if code in WORDS:
        return WORDS[code]
    if code in LISTS:
        return f"See what there is with `slicebank {LISTS[code]}`."
    rejected = problem.get("rejected")
    if not isinstance(rejected, list):
        return None
    codes = {item.get("code") for item in rejected if isinstance(item, Mapping)}
    told = [f"{option} ({refused})" for refused, option in OPTIONS.items() if refused in codes]
    return f"{'; '.join(told)}." if told else None
