"""Run a blocking call in a daemon thread of its own.

Unlike `asyncio.to_thread`, whose threads the loop joins when it closes, a call that hangs here (a full
pipe, a resolver that does not answer) holds up neither the loop nor the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(call: Callable[[], T], *, timeout_seconds: float) -> T:
    """The call's result or exception; TimeoutError when it takes longer (its thread is then left alone)."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return  # timed out or cancelled
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a result, where there is no error

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = call()
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=work, name="alert-sink", daemon=True).start()
    return await asyncio.wait_for(future, timeout_seconds)
