"""What is charged: a window, the people in it, and the mechanism's parameters; and the reservation's id.

The id is an HMAC of all of it under a key of the ledger's own. The same manifest is the same id, so a charge
can be repeated when its answer was lost; nobody without the key can test a guess of who took part. It stays
inside the boundary: outside, a release has a random id.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from veilstream.accounting import INFINITE, window_charges
from veilstream.contracts import RootKey
from veilstream.errors import AccountingError, ChargeInvalid
from veilstream.keys.derive import derive, mac
from veilstream.ledger.allocation.blocks import block_token, blocks_of
from veilstream.ledger.budget import Budget, root_of

__all__ = [
    "MODEL_NAME",
    "TOKEN_BYTES",
    "Charge",
    "Manifest",
    "People",
    "people",
    "reservation_id",
    "unpack",
    "validate",
]

TOKEN_BYTES = 15
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
MECHANISM = "poisson_subsampled_gaussian"


@dataclass(frozen=True, slots=True)
class Charge:
    """The mechanism's public parameters, and what they cost at each of the budget's orders."""

    sampling_rate: float  # q: Poisson rate at which a person enters a step
    noise_multiplier: float  # σ: noise standard deviation over clip_norm
    steps: int  # T
    clip_norm: float  # C: L2 bound of one person's gradient
    records_per_person: int  # k: records kept of one person
    expected_batch: float  # the divisor: q times a public number of people
    charges: tuple[int, ...]  # units at each order
    mechanism: str = MECHANISM

    @classmethod
    def of(
        cls,
        orders: Sequence[int],
        *,
        sampling_rate: float,
        noise_multiplier: float,
        steps: int,
        clip_norm: float,
        records_per_person: int,
        expected_batch: float,
    ) -> Charge:
        """Parameters with their price. Raises AccountingError for one outside its domain."""
        return cls(
            sampling_rate=float(sampling_rate),
            noise_multiplier=float(noise_multiplier),
            steps=steps,
            clip_norm=float(clip_norm),
            records_per_person=records_per_person,
            expected_batch=float(expected_batch),
            charges=window_charges(orders, sampling_rate, noise_multiplier, steps),
        )

    def public(self) -> dict[str, Any]:
        """As budget events show it."""
        return {
            "mechanism": self.mechanism,
            "sampling_rate": float(self.sampling_rate),
            "noise_multiplier": float(self.noise_multiplier),
            "steps": self.steps,
            "clip_norm": float(self.clip_norm),
            "records_per_person": self.records_per_person,
            "expected_batch": float(self.expected_batch),
            "charges": list(self.charges),
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """One attempt at one window. `people` are ledger tokens, in any order, each once; may be empty."""

    budget: str
    tenant: str
    model: str
    window: tuple[float, float]  # [start, end) of broker append time, Unix seconds
    people: tuple[str, ...]
    charge: Charge
    attempt: int = 1  # counts the charges of this model and window, from 1
    parent: str | None = None  # release that training starts from

    def public(self) -> dict[str, Any]:
        """What of it the outside may see: nothing that depends on people."""
        return {
            "model": self.model,
            "window": {"start": float(self.window[0]), "end": float(self.window[1])},
            "charge": self.charge.public(),
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True)
class People:
    """The people of a manifest, sorted by their raw tokens."""

    tokens: tuple[str, ...]  # as the manifest has them
    packed: bytes  # 15 bytes each, joined


def people(tokens: Sequence[str]) -> People:
    """Check and sort ledger tokens.

    Decoded all at once (RFC 4648 base32 in lower case, 24 characters and 15 bytes each): one by one would
    take longer than the store takes to charge them.

    Raises:
        ChargeInvalid: a token is malformed, or a person is there twice; which one is not said.
    """
    count = len(tokens)
    if not count:
        return People((), b"")
    for position, token in enumerate(tokens):
        if type(token) is not str or len(token) != _TOKEN_CHARACTERS or not token.isascii():
            raise _malformed(position)
    characters = np.frombuffer("".join(tokens).encode("ascii"), np.uint8)
    values = _BASE32[characters]
    if (values == _NO_VALUE).any():
        raise _malformed(int(np.argmax(values == _NO_VALUE)) // _TOKEN_CHARACTERS)
    bits = np.unpackbits(values.reshape(-1, 1), axis=1)[:, 3:]
    raw = np.packbits(bits.reshape(count, TOKEN_BYTES * 8), axis=1)
    # Big-endian words sort as the bytes do: 8 bytes, then the other 7.
    padded = np.zeros((count, 16), np.uint8)
    padded[:, :TOKEN_BYTES] = raw
    words = padded.view(">u8")
    order = np.lexsort((words[:, 1], words[:, 0]))
    ordered = words[order]
    same = int(np.count_nonzero((ordered[1:] == ordered[:-1]).all(axis=1)))
    if same:
        raise ChargeInvalid(f"a person is there twice: {count} tokens, {count - same} different")
    return People(tuple(tokens[place] for place in order.tolist()), raw[order].tobytes())


def _malformed(position: int) -> ChargeInvalid:
    return ChargeInvalid(f"the token at position {position} is not a ledger token of 24 characters")


_LATEST = 1e11  # the year 5138
_MOST = 2**31 - 1
_TOKEN_CHARACTERS = 24
_NO_VALUE = 255
_BASE32 = np.full(256, _NO_VALUE, np.uint8)
_BASE32[np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)] = np.arange(32, dtype=np.uint8)


def unpack(raw: bytes) -> str:
    """15 raw bytes as a ledger token."""
    return base64.b32encode(raw).decode("ascii").lower()


def validate(manifest: Manifest, budget: Budget) -> People:
    """Check everything that can be checked before anything is changed; returns the people.

    The price is computed again from the parameters: a manifest cannot name a lower one.

    Raises:
        ChargeInvalid: says which part, and what it takes.
    """
    charge = manifest.charge
    if manifest.tenant != budget.tenant:
        raise ChargeInvalid("the manifest's tenant is not the budget's")
    if not MODEL_NAME.fullmatch(manifest.model):
        raise ChargeInvalid("a model's name is up to 128 of a-z 0-9 . _ -, the first a letter or digit")
    start, end = manifest.window
    if not 0 <= start < end < _LATEST:
        raise ChargeInvalid("a window is [start, end) in Unix seconds, start before end")
    if type(manifest.attempt) is not int or not 1 <= manifest.attempt <= _MOST:
        raise ChargeInvalid("an attempt is an integer from 1 up")
    parent = manifest.parent
    if parent is not None and not (len(parent) <= 256 and parent.isascii()):
        raise ChargeInvalid("a parent is a release id of at most 256 characters")
    if charge.mechanism != MECHANISM:
        raise ChargeInvalid(f"the only mechanism is {MECHANISM}")
    for name in ("steps", "records_per_person"):
        value = getattr(charge, name)
        if type(value) is not int or not 1 <= value <= _MOST:
            raise ChargeInvalid(f"{name} is an integer from 1 to {_MOST}")
    for name in ("sampling_rate", "noise_multiplier", "clip_norm", "expected_batch"):
        value = getattr(charge, name)
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise ChargeInvalid(f"{name} is a finite number above 0")
    if len(charge.charges) != len(budget.orders):
        raise ChargeInvalid(f"{len(charge.charges)} charges for a budget with {len(budget.orders)} orders")
    if any(type(units) is not int or not 1 <= units <= INFINITE for units in charge.charges):
        raise ChargeInvalid(f"a charge is an integer from 1 to {INFINITE}")
    try:
        price = window_charges(budget.orders, charge.sampling_rate, charge.noise_multiplier, charge.steps)
    except AccountingError as error:
        raise ChargeInvalid(f"the charge's parameters are outside their domain: {error.message}") from None
    if any(named < due for named, due in zip(charge.charges, price, strict=True)):
        raise ChargeInvalid("the manifest names a lower price than its parameters cost")
    if min(charge.charges) >= INFINITE:
        raise ChargeInvalid("the price cannot be computed at any order of the budget", hint="add noise")
    if budget.block_seconds is not None:
        if manifest.people:
            raise ChargeInvalid(
                "the budget's unit is a record: its windows are charged to blocks of time, not to people",
                hint="leave the people out",
            )
        return _blocks(budget, manifest.window)
    return people(manifest.people)


def _blocks(budget: Budget, window: tuple[float, float]) -> People:
    """The blocks of time that a window touches, in the place of people: the same ones in a whole tree."""
    seconds = budget.block_seconds or 0.0
    return people([unpack(block_token(root_of(budget.name), block)) for block in blocks_of(window, seconds)])


def reservation_id(
    root: RootKey, budget: str, tenant: str, public: dict[str, Any], parent: str | None, people: bytes
) -> str:
    """HMAC-SHA256 of a manifest, as 64 hexadecimal characters.

    `public` is `Manifest.public()`; `people` the packed tokens, sorted and joined. Fields are preceded by
    their length (`keys.derive.fields`), so that none runs into the next.
    """
    return mac(
        derive(root, "ledger-reservation"),
        "ledger-reservation",
        budget,
        tenant,
        orjson.dumps({key: public[key] for key in PUBLIC_FIELDS}, option=orjson.OPT_SORT_KEYS),
        b"\x00" if parent is None else b"\x01",
        parent or "",
        people,
    ).hex()


PUBLIC_FIELDS = ("model", "window", "charge", "attempt")
