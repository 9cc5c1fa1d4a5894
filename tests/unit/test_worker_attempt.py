"""An attempt trains on who was admitted and nobody else, a row each, and only once it is paid and started."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from veilstream.dp.params import StepParams
from veilstream.ledger import Charge, Lease, Manifest, Reservation
from veilstream.settings import Settings
from veilstream.worker import attempt as module
from veilstream.worker.attempt import Attempt, Context
from veilstream.worker.contributions import Contributions
from veilstream.worker.encoder import MiniLM
from veilstream.worker.tasks import Example, load_labels

PARAMS = StepParams(
    sampling_rate=0.5, population=10, noise_multiplier=2.0, clip_norm=0.2, steps=1, learning_rate=1.0
)
ADMITTED, REFUSED, SILENT = "a" * 24, "b" * 24, "c" * 24


class Ended(Exception):
    """Training began: what comes after it is not looked at here."""


class Ledger:
    """Writes down in which order it is asked."""

    def __init__(self, said: list[Any]) -> None:
        self._said = said

    async def wait_acknowledged(self, budget: str, seq: int, timeout: float) -> None:
        self._said.append(("acknowledged", seq))

    async def start(self, reservation: str, lease: Lease) -> int:
        self._said.append(("started", reservation))
        return 8


async def nothing() -> None:
    """The release may be seen at once."""


async def test_who_was_refused_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    def training(rows: list[list[Example]], **_: Any) -> None:
        said.append(("trained", rows))
        raise Ended

    monkeypatch.setattr(module, "fit", training)
    people = Contributions(2, b"k" * 32)
    for person in (ADMITTED, REFUSED):
        people.add(person, "record", [Example(f"of {person} {number}", 0, False) for number in range(3)])
    people.add(SILENT, "record", [])
    manifest = Manifest(
        budget="default",
        tenant="acme",
        model="m",
        window=(0.0, 1.0),
        people=tuple(people.people()),
        charge=Charge.of(
            (8,),
            sampling_rate=0.5,
            noise_multiplier=2.0,
            steps=1,
            clip_norm=0.2,
            records_per_person=2,
            expected_batch=5.0,
        ),
    )
    reservation = Reservation("r", 7, (ADMITTED, SILENT), 1, False, 0.5)
    context = Context(
        Settings(),
        cast(Any, Ledger(said)),
        cast(Any, None),
        load_labels(),
        PARAMS,
        asyncio.Event(),
        asyncio.Event(),
    )
    attempt = Attempt(context, cast(MiniLM, None), cast(Lease, None), manifest, reservation, None)
    with pytest.raises(Ended):
        await attempt.run(people, {}, nothing)
    rows = people.of(ADMITTED)
    assert len(rows) == 2
    assert said == [("acknowledged", 7), ("started", "r"), ("trained", [rows])]
