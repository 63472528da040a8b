from pathlib import Path

import pytest

from slicebank_imaging import errors
from slicebank_imaging.verdicts import OUT_OF_RESOURCES, VERDICTS, Scope

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verdicts.md").read_text()
# An option is the request's, not a file's; the root of the tree is never raised itself.
NOT_OF_WHAT_WAS_SENT = {"imaging_error", "bad_option"}


def _codes(root: type[errors.ImagingError]) -> set[str]:
    return {root.code}.union(*(_codes(child) for child in root.__subclasses__()))


def test_every_error_that_can_befall_what_was_sent_has_a_verdict_and_nothing_else() -> None:
    assert set(VERDICTS) == _codes(errors.ImagingError) - NOT_OF_WHAT_WAS_SENT


@pytest.mark.parametrize(
    ("root", "scope"),
    [(errors.FileRefused, Scope.FILE), (errors.SeriesRefused, Scope.SERIES), (errors.ArchiveRefused, Scope.ARCHIVE)],
)
def test_scopes_follow_the_tree(root: type[errors.ImagingError], scope: Scope) -> None:
    # A repeated slice is refused by its series, yet it is one file that is told of it.
    assert {VERDICTS[code].scope for code in _codes(root) - {"duplicate_slice"}} == {scope}


@pytest.mark.parametrize("code", sorted(VERDICTS))
def test_the_page_says_what_the_table_says(code: str) -> None:
    verdict = VERDICTS[code]
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{code}` |")]
    assert row.endswith(f"| {verdict.failure_reason:04X} | {verdict.remedy} |")


def test_reasons_are_those_of_the_standard() -> None:
    # PS3.4 table B.2-1: A7xx, A9xx, Cxxx; PS3.7 annex C: 0110, 0122; 0 is success.
    for verdict in VERDICTS.values():
        reason = verdict.failure_reason
        assert reason in (0, 0x0110, 0x0122) or reason >> 8 in (0xA7, 0xA9) or reason >> 12 == 0xC
    limits = {code for code, verdict in VERDICTS.items() if verdict.failure_reason == OUT_OF_RESOURCES}
    assert limits == {"too_many_pixels", "too_many_slices", "too_many_files", "archive_too_large"}
