"""Budgets by blocks of time, for tenants whose unit is a record. **Weaker than a budget by person.**

**Formal statement.** Time is cut into blocks [k·L, (k+1)·L) of the broker's append time, L public and fixed
for the budget. Each record has one append time, so it lies in exactly one block. A charge on a window is
charged, in full, to each block that the window touches, and each block has the budget's filter. Neighbouring
streams differ by *one record*, with its append time: everything that leaves the boundary over the budget's
life is then (ε, δ)-differentially private with respect to adding or removing that record, since only charges
on windows that touch its block can depend on it. (Block composition: Lécuyer et al., "Privacy Accounting and
Quality Control in the Sage Differentially Private ML Platform", SOSP 2019, arXiv 1909.01502;
the filter: Feldman & Zrnic, arXiv 2008.11193.) Clipping must be by record then, and a record in one gradient.

**What it does not protect.** A *person*. Who has k records is covered by group privacy alone, some k·ε with a
δ that grows by e^(kε): for an agent's regular user that is nothing. Nor when records came: the number of
blocks, and which of them are full, is public. A conversation logged as many records is many records.

**Which blocks are charged is public**: window and L are. So is which of them has no room, and leaving out a
window's records in such a block is allowed to be seen (unlike leaving out a person).

**Edge cases.** Times are whole milliseconds, as the broker stamps them and as windows are read; other times
are rounded to the nearest. A window that ends on a boundary does not touch the block that begins there. A
window that is empty, turned around, NaN, infinite or before 1970, a block shorter than a millisecond, a
window of more than `MAX_BLOCKS` blocks: AccountingError.
"""

from __future__ import annotations

import hashlib
import math

from veilstream.errors import AccountingError
from veilstream.keys.derive import fields

__all__ = ["MAX_BLOCKS", "block_name", "block_of", "block_token", "blocks_of", "window_charges_by_block"]

MAX_BLOCKS = 65_536
"""Blocks that one window may touch: a charge holds a filter for each."""

TOKEN_BYTES = 15
_LABEL = "veilstream/1/ledger-block"


def blocks_of(window: tuple[float, float], block_seconds: float) -> range:
    """Indices of the blocks that a window [start, end) of Unix seconds touches, in order; never empty."""
    start, end = (_milliseconds(seconds, "a window's time") for seconds in window)
    length = _length(block_seconds)
    if not start < end:
        raise AccountingError("a window is [start, end) in whole milliseconds, start before end")
    blocks = range(start // length, (end - 1) // length + 1)
    if len(blocks) > MAX_BLOCKS:
        raise AccountingError(
            f"a window touches more than {MAX_BLOCKS} blocks", hint="take longer blocks, or shorter windows"
        )
    return blocks


def block_of(append_time: float, block_seconds: float) -> int:
    """Index of the one block that a record appended at this time (Unix seconds) lies in."""
    return _milliseconds(append_time, "an append time") // _length(block_seconds)


def block_name(budget: str, index: int) -> str:
    """A block's id for an allocator: the budget's path and the index."""
    _check_index(index)
    return f"{budget}#{index}"


def block_token(budget: str, index: int) -> bytes:
    """15 bytes that stand for a block where the filter has a person's token. Public: SHA-256, no key.

    Different budgets or indices give different inputs (fields with their lengths, under a label of their
    own), so two blocks share a token with probability 2⁻¹²⁰.
    """
    _check_index(index)
    return hashlib.sha256(fields(_LABEL, budget, index.to_bytes(8, "big"))).digest()[:TOKEN_BYTES]


def window_charges_by_block(
    budget: str, window: tuple[float, float], block_seconds: float, charges: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """A demand's `charges` for a window: the whole price for each block that it touches."""
    return {block_name(budget, index): charges for index in blocks_of(window, block_seconds)}


def _milliseconds(seconds: float, what: str) -> int:
    if not (math.isfinite(seconds) and 0 <= seconds < 2**53 / 1000):
        raise AccountingError(f"{what} is a finite number of Unix seconds from 0 up")
    return round(seconds * 1000)


def _length(block_seconds: float) -> int:
    if not (math.isfinite(block_seconds) and 0.001 <= block_seconds < 2**53 / 1000):
        raise AccountingError("a block is a finite number of seconds, a millisecond or more")
    return round(block_seconds * 1000)


def _check_index(index: int) -> None:
    if type(index) is not int or not 0 <= index < 2**63:
        raise AccountingError("a block's index is an integer from 0 up")
