"""A process with another time of day: libfaketime where it is installed, else the same in a few lines of C.

Only the wall clock is moved; timers and timeouts go by the monotonic one, as when a machine's clock is set.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from veilstream.bench.chaos.network import command

__all__ = ["missing", "preload"]

_BACK_SECONDS = 3600
_PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
)
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(id, at);
  if (!code && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec -= BACK;
  return code;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  (void)zone;
  int code = clock_gettime(CLOCK_REALTIME, &now);
  if (!code && at) { at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; }
  return code;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


def missing() -> str | None:
    """Why no clock can be moved here; None where one can."""
    if _installed() or shutil.which("cc"):
        return None
    return "neither libfaketime nor a C compiler is installed"


def preload(folder: Path) -> dict[str, str] | None:
    """The environment of a process whose clock is an hour behind; None where it cannot be had."""
    installed = _installed()
    if installed is not None:
        return {
            "LD_PRELOAD": str(installed),
            "FAKETIME": f"-{_BACK_SECONDS}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    library = folder / "clock.so"
    if not library.exists():
        source = folder / "clock.c"
        source.write_text(_SOURCE.replace("BACK", str(_BACK_SECONDS)))
        try:
            command("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl")
        except OSError:
            return None
    return {"LD_PRELOAD": str(library)}


def _installed() -> Path | None:
    for folder in _PLACES:
        found = Path(folder) / "libfaketimeMT.so.1"
        if found.is_file():
            return found
    return None
