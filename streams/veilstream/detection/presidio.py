"""presidio-analyzer, imported without torch and transformers.

Its `nlp_engine` package imports both where they are installed (14–24 s), for engines that we do not use.
While it is imported they are hidden (`None` in `sys.modules` makes their import fail, which Presidio and
spaCy take as "not installed"); afterwards they can be imported as ever. If one is loaded already it is left
alone.

Its e-mail recogniser would fetch the public suffix list: `recognisers/email.py` has its own extractor, and
the library's shared one is pinned here as well, so that nothing can open a socket."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

__all__ = ["hidden", "predefined", "suffixes"]

_HEAVY = ("torch", "transformers")


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Make `import name` fail inside, for the names that are not loaded yet."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # None is the import system's own sign for this
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@cache
def predefined() -> ModuleType:
    """`presidio_analyzer.predefined_recognizers`."""
    with hidden(*_HEAVY):
        module = importlib.import_module("presidio_analyzer.predefined_recognizers")
    # It logs texts that it could not validate.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    tldextract = importlib.import_module("tldextract.tldextract")
    setattr(tldextract, "TLD_EXTRACTOR", suffixes())  # noqa: B010  # a module that mypy cannot see into
    return module


@cache
def suffixes() -> object:
    """tldextract on the public suffix list that it ships: no network, no cache folder."""
    tldextract = importlib.import_module("tldextract")
    extractor: object = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return extractor
