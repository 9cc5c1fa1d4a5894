"""An event loop in a thread of its own: how the synchronous forms run the asynchronous ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

__all__ = ["BackgroundLoop", "SyncForm"]

T = TypeVar("T")


class Connecting(Protocol):
    """What starts and closes asynchronously."""

    def start(self) -> Coroutine[Any, Any, object]: ...
    def aclose(self) -> Coroutine[Any, Any, None]: ...


C = TypeVar("C", bound=Connecting)


class BackgroundLoop:
    """Runs coroutines for callers without a loop. `close` ends the thread; it is a daemon in any case."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or its error. An interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class SyncForm(Generic[C]):
    """`with` and `close` for something asynchronous, whose loop runs in a thread while it is connected."""

    def __init__(self, inner: C, name: str) -> None:
        self._inner = inner
        self._name = name
        self._loop: BackgroundLoop | None = None

    def start(self) -> Self:
        """Connect. Called by `with`. Raises what the asynchronous form's `start` raises."""
        if self._loop is None:
            loop = BackgroundLoop(self._name)
            try:
                loop.run(self._inner.start())
            except BaseException:
                loop.close()
                raise
            self._loop = loop
        return self

    def close(self) -> None:
        """Finish what is under way, disconnect, end the thread."""
        loop, self._loop = self._loop, None
        if loop is not None:
            try:
                loop.run(self._inner.aclose())
            finally:
                loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
