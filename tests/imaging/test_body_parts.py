from __future__ import annotations

import pytest

from slicebank_imaging.body_parts import HEAD_TERMS, body_part_term


@pytest.mark.parametrize(("text", "term"), [("CHEST", "CHEST"), (" abdomen ", "ABDOMEN"), ("JOHN DOE", ""), ("", "")])
def test_only_defined_terms_are_kept(text: str, term: str) -> None:
    assert body_part_term(text) == term


def test_head_terms_are_terms() -> None:
    assert all(body_part_term(term) == term for term in HEAD_TERMS)
