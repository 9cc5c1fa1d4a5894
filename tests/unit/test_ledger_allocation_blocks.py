"""Blocks of time at their edges."""

from __future__ import annotations

import math

import pytest

from veilstream.errors import AccountingError
from veilstream.ledger.allocation import block_name, block_token, blocks_of, window_charges_by_block
from veilstream.ledger.allocation.blocks import MAX_BLOCKS, block_of

HOUR = 3600.0


@pytest.mark.parametrize(
    ("window", "blocks"),
    [
        ((0.0, HOUR), [0]),  # ends on a boundary: the block that begins there is not touched
        ((0.0, HOUR + 0.001), [0, 1]),
        ((HOUR - 0.001, HOUR), [0]),
        ((HOUR, 2 * HOUR), [1]),
        ((1.0, 2.0), [0]),
        ((HOUR - 1, 3 * HOUR + 1), [0, 1, 2, 3]),
        ((1.7e9, 1.7e9 + 60), [472222]),
    ],
)
def test_blocks_of_a_window(window: tuple[float, float], blocks: list[int]) -> None:
    assert list(blocks_of(window, HOUR)) == blocks


@pytest.mark.parametrize(
    "window",
    [
        (5.0, 5.0),
        (5.0, 4.0),
        (5.0, 5.0004),  # no whole millisecond
        (-1.0, 4.0),
        (math.nan, 4.0),
        (0.0, math.nan),
        (0.0, math.inf),
        (0.0, 1e300),
    ],
)
def test_a_window_that_cannot_be(window: tuple[float, float]) -> None:
    with pytest.raises(AccountingError):
        blocks_of(window, HOUR)


@pytest.mark.parametrize("seconds", [0.0, 0.0009, -1.0, math.nan, math.inf, 1e300])
def test_a_block_that_cannot_be(seconds: float) -> None:
    with pytest.raises(AccountingError, match="a block is"):
        blocks_of((0.0, 1.0), seconds)
    with pytest.raises(AccountingError, match="a block is"):
        block_of(1.0, seconds)


def test_a_window_of_too_many_blocks() -> None:
    assert len(blocks_of((0.0, float(MAX_BLOCKS)), 1.0)) == MAX_BLOCKS
    with pytest.raises(AccountingError, match=str(MAX_BLOCKS)):
        blocks_of((0.0, MAX_BLOCKS + 1.0), 1.0)
    with pytest.raises(AccountingError, match=str(MAX_BLOCKS)):
        blocks_of((0.0, 1e12), 1.0)


def test_tokens_stay_what_they_are() -> None:
    """The journal keeps them for ever: another value would give every block a fresh budget."""
    assert block_token("acme", 0).hex() == "8f3d8fe54a3fce5d2ea297bd21c1a9"
    assert block_token("acme/support", 472222).hex() == "4c2e182c5b2eb7643b1525b23b6ce9"
    assert block_token("a", 1) != block_token("a1", 1)


@pytest.mark.parametrize("index", [-1, 2**63, 1.0, True])
def test_an_index_that_cannot_be(index: int) -> None:
    for function in (block_token, block_name):
        with pytest.raises(AccountingError, match="index"):
            function("acme", index)


def test_a_window_charges_each_block_in_full() -> None:
    assert window_charges_by_block("acme", (HOUR - 1, HOUR + 1), HOUR, (7, 9)) == {
        "acme#0": (7, 9),
        "acme#1": (7, 9),
    }
