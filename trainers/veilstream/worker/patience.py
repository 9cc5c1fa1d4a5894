"""Asking again where broker or store do not answer, and ending when told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from veilstream.errors import BrokerUnavailable, StoreUnavailable
from veilstream.telemetry.logs import emit

__all__ = ["Cancelled", "patiently"]

T = TypeVar("T")

_LONGEST_PAUSE_SECONDS = 5.0


class Cancelled(Exception):
    """The work was told to stop. Never leaves the room."""


async def patiently(ask: Callable[[], Coroutine[Any, Any, T]], stop: asyncio.Event) -> T:
    """Ask until broker and store answer; when told to stop, raise what was in the way.

    Only for what may be asked twice: readings, and the ledger's charge and commit.
    """
    failures = 0
    while True:
        try:
            return await ask()
        except (BrokerUnavailable, StoreUnavailable) as error:
            if stop.is_set():
                raise
            failures += 1
            event = "broker_unreachable" if isinstance(error, BrokerUnavailable) else "store_unreachable"
            emit(event, level=logging.WARNING, error_type=type(error).__name__, attempt=failures)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(0.1 * 2**failures, _LONGEST_PAUSE_SECONDS)):
                await stop.wait()
