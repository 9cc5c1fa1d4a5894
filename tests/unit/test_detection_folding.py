"""Spellings in Unicode that look like plain text: patterns find them, at their place in the text."""

from __future__ import annotations

from functools import cache

import pytest

from veilstream.detection import PatternEngine
from veilstream.detection.folding import fold


@cache
def engine() -> PatternEngine:
    return PatternEngine()


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("pay ４１１１ １１１１ １１１１ １１１１ now", "４１１１ １１１１ １１１１ １１１１", "CREDIT_CARD"),
        ("pay 4111\u00a01111\u00a01111\u00a01111 now", "4111\u00a01111\u00a01111\u00a01111", "CREDIT_CARD"),
        ("pay 4111\u20091111\u20091111\u20091111 now", "4111\u20091111\u20091111\u20091111", "CREDIT_CARD"),
        ("pay 4111\u00ad1111\u00ad1111\u00ad1111 now", "4111\u00ad1111\u00ad1111\u00ad1111", "CREDIT_CARD"),
        ("ssn 536–90–4399 is it", "536–90–4399", "US_SSN"),
        ("ssn 536\u201190\u20114399 is it", "536\u201190\u20114399", "US_SSN"),
        ("call 408\u200b-971-8523 now", "408\u200b-971-8523", "PHONE_NUMBER"),
        ("call ٤٠٨-٩٧١-٨٥٢٣ now", "٤٠٨-٩٧١-٨٥٢٣", "PHONE_NUMBER"),
        ("mail jane.doe＠example.com now", "jane.doe＠example.com", "EMAIL_ADDRESS"),
        ("mail jane@example．com now", "jane@example．com", "EMAIL_ADDRESS"),
        ("mail jane.d\u200boe@exam\u00adple.com now", "jane.d\u200boe@exam\u00adple.com", "EMAIL_ADDRESS"),
    ],
)
def test_found_at_its_place(text: str, value: str, kind: str) -> None:
    start = text.index(value)
    found = {(f.start, f.end, f.kind) for f in engine().find(text)}
    assert (start, start + len(value), kind) in found


def test_every_place_of_a_folded_text_is_a_place_of_the_text() -> None:
    text = "é\u200b１\u00a0–2–３\ufeff"
    folded, back = fold(text)
    assert folded == "é1 –2-3"
    assert [back(at, at + 1) for at in range(len(folded))] == [
        (0, 1), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)
    ]  # fmt: skip
    assert back(0, len(folded)) == (0, 8)


@pytest.mark.parametrize("text", ["", "plain", "é – ü", "日本語。"])
def test_what_hides_nothing_is_left_as_it_is(text: str) -> None:
    assert fold(text)[0] is text
