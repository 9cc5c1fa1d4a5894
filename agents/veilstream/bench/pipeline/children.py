"""Child processes of a run: a job as JSON on standard input, then commands, a line each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import orjson

from veilstream.embedded.processes import die_with_parent
from veilstream.errors import VeilstreamError

__all__ = ["BenchFailed", "Child"]

_GRACE_SECONDS = 25.0


class BenchFailed(VeilstreamError):
    """A run that gives no figure: says which process, and its exit code."""


class Child:
    """`python -m veilstream.bench.pipeline.<module>`; ends with this process, and at the end of `with`.

    Its log is `<folder>/<name>.log`: structured lines without personal data, as any process of ours writes.
    """

    def __init__(self, module: str, job: dict[str, Any], folder: Path, name: str) -> None:
        self.name, self.result_path = name, folder / f"{name}.json"
        self._log_path = folder / f"{name}.log"
        self.result_path.unlink(missing_ok=True)
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"veilstream.bench.pipeline.{module}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self.say(orjson.dumps({**job, "result": str(self.result_path)}).decode())

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it was asked for
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.check()

    def check(self) -> None:
        """
        Raises:
            BenchFailed: it has ended.
        """
        code = self._process.poll()
        if code is not None:
            raise BenchFailed(f"{self.name} ended (exit {code})", hint=self._last_line())

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; what it was told to write is written."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5.0)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def result(self) -> Any:
        """What it wrote.

        Raises:
            BenchFailed: nothing.
        """
        try:
            return orjson.loads(self.result_path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            raise BenchFailed(f"{self.name} left no result", hint=self._last_line()) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _last_line(self) -> str:
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"
