"""Law: what the record's protection leaves out for speed, it does not find differently.

`Declared.find` looks only where a declared value can begin, and a path set for one record looks at a path
once; both agree with the loop that looks everywhere, every time.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilstream.events.walker import Leaf
from veilstream.protection import declared as room
from veilstream.protection.declared import Declared
from veilstream.protection.paths import PathSet

WORDS = ["Amelia", "JONES", "jones", "Straße", "STRASSE", "Zoe\u0301", "Zoé", "A\u200bmelia", "i", "İ", "77"]
NUMBERS = ["408", "971", "8523", "\u0664\u0660\u0668", "x", "4089718523", "the", "May", "山田", "ﬁrm", "FIRM"]
texts = st.lists(
    st.sampled_from(WORDS + NUMBERS) | st.text(max_size=3),
    max_size=7,
).flatmap(lambda words: st.sampled_from([" ", ", ", "_", "-", "     "]).map(lambda gap: gap.join(words)))
kinds = st.sampled_from(["PERSON", "ACCOUNT", "PHONE_NUMBER", "SUBJECT", "CONVERSATION"])


def everywhere(declared: Declared, text: str) -> list[tuple[int, int, str]]:
    """The naive search: a value may begin at any word."""
    found: list[tuple[int, int, str]] = []
    for value, kind in declared._literal.items():
        at = text.find(value)
        while at >= 0:
            found.append((at, at + len(value), kind))
            at = text.find(value, at + len(value))
    matches = list(room._SEEN_WORD.finditer(text))
    words = [room._plain(match[0]) for match in matches]
    folded = [word.casefold() for word in words]
    for position, first in enumerate(folded):
        end = declared._at(matches, words, folded, position, first)
        if end is not None:
            found.append((matches[position].start(), *end))
    return found


@given(st.lists(st.tuples(kinds, texts), max_size=5), texts)
def test_declared_values_are_found_wherever_they_begin(values: list[tuple[str, str]], text: str) -> None:
    declared = Declared()
    for kind, value in values:
        declared.add(kind, value)
    for read in (text, *(value for _, value in values), *(value.upper() for _, value in values)):
        assert [(f.start, f.end, f.kind) for f in declared.find(read)] == everywhere(declared, read)


def test_a_search_that_skips_a_beginning_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Declared()
    declared.add("PERSON", "Amelia Jones")
    assert everywhere(declared, "AMELIA JONES")
    monkeypatch.setattr(room, "_folded", lambda text: text.split())
    assert [f.start for f in declared.find("AMELIA JONES")] != [0]


PATTERNS = ["a.b?type=x|y", "a.b", "a.*", "**.c", "l[].c?type=x", "a.b{json}.c"]
paths = st.sampled_from(["a.b", "a.c", "l[].c", "a.b{json}.c", "a.b{json}", "", "z"])
owners = st.sampled_from([None, {}, {"type": "x"}, {"type": "z"}, {"type": 1}])


@given(st.lists(st.sampled_from(PATTERNS), max_size=4), st.lists(st.tuples(paths, owners), max_size=8))
def test_a_remembered_path_is_judged_by_its_owner(texts: list[str], places: list[tuple[str, Any]]) -> None:
    paths = PathSet(texts)
    remembering = paths.remembering()
    for path, owner in places:
        leaf = Leaf("v", path, (), owner=owner)
        naive = [at for at, pattern in enumerate(paths.patterns) if pattern.matches(leaf)]
        assert paths.find(leaf) == remembering.find(leaf) == (naive[0] if naive else None)


def test_what_was_seen_of_one_record_is_not_kept() -> None:
    paths = PathSet(["a.*"])
    first = paths.remembering()
    first.find(Leaf("v", "a.jane@example.com", ()))
    assert paths._seen is None
    assert paths.remembering()._seen == {}
