"""What is charged: a window, the people in it, and the mechanism's parameters; and the reservation's id.

The id is an HMAC of all of it under a key of the ledger's own. The same manifest is the same id, so a charge
can be repeated when its answer was lost; nobody without the key can test a guess of who took part. It stays
inside the boundary: outside, a release has a random id.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from veilstream.accounting import INFINITE, window_charges
from veilstream.contracts import RootKey
from veilstream.errors import AccountingError, ChargeInvalid
from veilstream.keys.derive import derive, mac
from veilstream.ledger.budget import Budget

__all__ = ["MODEL_NAME", "TOKEN_BYTES", "Charge", "Manifest", "pack", "reservation_id", "unpack", "validate"]

TOKEN_BYTES = 15
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
MECHANISM = "poisson_subsampled_gaussian"

_TOKEN = re.compile(r"[a-z2-7]{24}")


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


def pack(tokens: Iterable[str]) -> list[bytes]:
    """Ledger tokens as 15 raw bytes each, sorted.

    Raises:
        ChargeInvalid: a token is malformed, or a person is there twice; which one is not said.
    """
    raw: list[bytes] = []
    for position, token in enumerate(tokens):
        if not _TOKEN.fullmatch(str(token)):
            raise ChargeInvalid(f"the token at position {position} is not a ledger token of 24 characters")
        try:
            raw.append(base64.b32decode(str(token).upper()))
        except (binascii.Error, ValueError):
            raise ChargeInvalid(f"the token at position {position} is not base32") from None
    raw.sort()
    if len(set(raw)) != len(raw):
        raise ChargeInvalid(f"a person is there twice: {len(raw)} tokens, {len(set(raw))} different")
    return raw


def unpack(raw: bytes) -> str:
    """15 raw bytes as a ledger token."""
    return base64.b32encode(raw).decode("ascii").lower()


def validate(manifest: Manifest, budget: Budget) -> list[bytes]:
    """Check everything that can be checked before anything is changed; returns the people, packed.

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
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise ChargeInvalid("a window is [start, end) in Unix seconds, start before end")
    if type(manifest.attempt) is not int or manifest.attempt < 1:
        raise ChargeInvalid("an attempt is an integer from 1 up")
    if manifest.parent is not None and len(manifest.parent) > 256:
        raise ChargeInvalid("a parent is a release id of at most 256 characters")
    if charge.mechanism != MECHANISM:
        raise ChargeInvalid(f"the only mechanism is {MECHANISM}")
    for name in ("steps", "records_per_person"):
        value = getattr(charge, name)
        if type(value) is not int or value < 1:
            raise ChargeInvalid(f"{name} is an integer from 1 up")
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
    return pack(manifest.people)


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
