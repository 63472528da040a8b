"""Rows of labels that name no bag: why, and what to do, in a sentence, before any training starts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from slicebank_models.heads.targets import LabelKey
from slicebank_service.cohorts.cases import NAMES, Matched, bags_of
from slicebank_service.cohorts.reading import Reading
from slicebank_service.context import Context
from slicebank_service.errors import NoLabelMatches, RecipeMixed, SomeUnmatched
from slicebank_service.recipes import differences

# Keys named in an error: enough to see the pattern, short enough to read.
_SHOWN = 20
# Looked up one by one to say what is wrong with them.
_SAMPLE = 20

# What spreadsheets make of long numbers and of numbers with a hyphen or a slash.
_ROUNDED = re.compile(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_DATE = re.compile(
    r"[0-9]{1,2}[-. ](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:[-. ][0-9]{2,4})?"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ][0-9]{2,4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T]00:00(?::00)?)?|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}",
    re.IGNORECASE,
)


def check_matches(context: Context, matched: Matched, key: LabelKey, reading: Reading, *, strict: bool) -> None:
    """Refuses labels that do not meet the stored bags.

    Raises:
        RecipeMixed: some rows name bags of the encoder that were made under another recipe.
        NoLabelMatches: no row names a bag.
        SomeUnmatched: `strict`, and some row names none.
    """
    if not matched.unmatched:
        return
    shown = list(matched.unmatched[:_SHOWN])
    asked = context.pseudonyms.patient_asked if key is LabelKey.PATIENT else context.pseudonyms.uid_asked
    _check_recipes(context, {asked(name): name for name in matched.unmatched}, key, reading)
    if not matched.cases:
        raise NoLabelMatches(
            f"none of the {len(matched.unmatched)} rows of the labels names a bag of {reading.encoder}; "
            + _why(context, matched.unmatched, key, reading.encoder),
            unmatched=shown,
        )
    if strict:
        raise SomeUnmatched(
            f"{len(matched.unmatched)} rows of the labels name no bag of {reading.encoder} ({', '.join(shown[:3])}); "
            + _why(context, matched.unmatched, key, reading.encoder)
            + ", or leave out strict",
            unmatched=shown,
        )


def _check_recipes(context: Context, stored: dict[str, str], key: LabelKey, reading: Reading) -> None:
    others = [
        bag
        for bag in bags_of(context, key, stored, encoder=reading.encoder)
        if bag.recipe_digest != reading.recipe.digest
    ]
    if others:
        names = [stored[NAMES[key](bag)] for bag in others]
        raise RecipeMixed(
            f"{len(set(names))} rows of the labels ({', '.join(sorted(set(names))[:3])}) name bags of {reading.encoder} that were "
            f"made otherwise than this head reads: {differences(others[0].recipe, reading.recipe.as_dict())}; embed those series "
            "again, or leave their rows out",
            unmatched=names[:_SHOWN],
        )


def _why(context: Context, names: Sequence[str], key: LabelKey, encoder: str) -> str:
    sample = names[:_SAMPLE]
    if damaged := next((name for name in sample if _ROUNDED.fullmatch(name)), None):
        return f"{damaged!r} looks like a long number that a spreadsheet has rounded: format the column as text and save it again"
    if damaged := next((name for name in sample if _DATE.fullmatch(name)), None):
        return f"{damaged!r} looks like a date that a spreadsheet has made of a name: format the column as text and save it again"
    known = sum(_is_known(context, name, key) for name in sample)
    of = f"of the first {len(sample)}" if len(names) > len(sample) else f"of these {len(sample)}"
    if known:
        return (
            f"{known} {of} are known and have no bag of {encoder} yet: wait for their jobs, send them with encoder={encoder}, "
            "or embed those whose pixels were kept"
        )
    return f"none {of} is known here: upload the series first, and check that the first column holds what its name says ({key})"


def _is_known(context: Context, name: str, key: LabelKey) -> bool:
    series, names = context.catalogue.series, context.pseudonyms
    if key is LabelKey.SERIES_UID:
        return series.get(context.project, names.uid_asked(name)) is not None
    if key is LabelKey.STUDY_UID:
        return bool(series.list(context.project, study_uid=names.uid_asked(name), limit=1).items)
    return bool(series.list(context.project, patient=names.patient_asked(name), limit=1).items)
