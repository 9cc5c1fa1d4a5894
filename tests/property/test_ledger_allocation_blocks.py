"""Blocks of time: each record lies in exactly one, and a window is charged to that one."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from veilstream.ledger.allocation import block_token, blocks_of
from veilstream.ledger.allocation.blocks import block_of

milliseconds = st.integers(0, 2**41)
lengths = st.one_of(
    st.sampled_from([0.5, 1.0, 60.0, 3600.0, 86400.0]), st.integers(500, 10**9).map(lambda n: n / 1000)
)


@given(start=milliseconds, span=st.integers(1, 10**6), offset=st.integers(0, 10**6), length=lengths)
def test_a_record_of_a_window_lies_in_a_block_that_is_charged(
    start: int, span: int, offset: int, length: float
) -> None:
    record = start + offset % span  # in [start, start + span)
    window = (start / 1000, (start + span) / 1000)
    assert block_of(record / 1000, length) in blocks_of(window, length)


@given(start=milliseconds, span=st.integers(1, 10**6), length=lengths)
def test_no_block_is_charged_that_no_record_of_the_window_can_lie_in(
    start: int, span: int, length: float
) -> None:
    blocks = blocks_of((start / 1000, (start + span) / 1000), length)
    assert blocks[0] == block_of(start / 1000, length)
    assert blocks[-1] == block_of((start + span - 1) / 1000, length)


@given(start=milliseconds, parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=6), length=lengths)
def test_windows_side_by_side_touch_what_the_whole_touches(
    start: int, parts: list[int], length: float
) -> None:
    edges = [start]
    for part in parts:
        edges.append(edges[-1] + part)
    pieces = itertools.pairwise(edges)
    touched = {block for a, b in pieces for block in blocks_of((a / 1000, b / 1000), length)}
    assert touched == set(blocks_of((edges[0] / 1000, edges[-1] / 1000), length))


@given(st.sets(st.tuples(st.text(max_size=6), st.integers(0, 2**63 - 1)), min_size=2, max_size=6))
def test_different_blocks_have_different_tokens(blocks: set[tuple[str, int]]) -> None:
    tokens = {block_token(budget, index) for budget, index in blocks}
    assert len(tokens) == len(blocks)
    assert all(len(token) == 15 for token in tokens)
