"""Child processes that are asked things: a JSON object a line in, a JSON object a line out, one at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from veilstream.bench.pipeline.children import BenchFailed
from veilstream.embedded.processes import die_with_parent
from veilstream.errors import VeilstreamError

__all__ = ["Child", "serve"]

_LINE_BYTES = 256_000_000  # the samples of a long run
_GRACE_SECONDS = 20.0

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Child:
    """`python -m veilstream.bench.ledger.<module>`; ends with this process."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, module: str, place: dict[str, Any], folder: Path, name: str) -> Child:
        """Its log is `<folder>/<name>.log`. In the main thread: it ends with the thread that starts it."""
        log = folder / f"{name}.log"
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"veilstream.bench.ledger.{module}",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                start_new_session=True,
                preexec_fn=die_with_parent(),
                limit=_LINE_BYTES,
            )
        child = cls(process, name, log)
        await child.ask(place=place)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Its answer.

        Raises:
            BenchFailed: it has ended, or the answer is an error.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101  # it was asked for
        assert stdout is not None  # noqa: S101
        try:
            stdin.write(orjson.dumps(question) + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            code = await self._process.wait()
            raise BenchFailed(f"{self.name} ended (exit {code})", hint=self._last_line())
        answer: dict[str, Any] = orjson.loads(line)
        if "failed" in answer:
            raise BenchFailed(f"{self.name}: {answer['failed']}", hint=self._last_line())
        return answer

    async def stop(self) -> None:
        """End of its input, then SIGKILL. Never raises."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


async def serve(answer: Answer) -> None:
    """The child's side: answer until the input ends. An error of ours is an answer; any other ends it."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    while line := await reader.readline():
        try:
            told = await answer(orjson.loads(line))
        except VeilstreamError as error:
            told = {"failed": f"{error.code}: {error.message}"}
        sys.stdout.buffer.write(orjson.dumps(told) + b"\n")
        sys.stdout.buffer.flush()
