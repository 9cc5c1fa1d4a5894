"""What people have, turned into interactions of the contract: one format a file.

An adapter's `read(obj, *, tenant, subject)` takes one parsed line and returns the interactions in it, each
of which passes the contract's schema; a line of OTLP may hold many spans, or none with messages. It raises
`RecordInvalid` and nothing else, and the path in it has only words of the format.

`words`, `fixed` and `ids` are the places of the format (not of the contract) that hold its own words: see
`veilstream.protection.structure`. To add a format: a file, a row in `ADAPTERS`, a test.
"""

from __future__ import annotations

from veilstream.events.adapters import dialogue, jsonl, openai, otel
from veilstream.events.adapters.base import Adapter

__all__ = ["ADAPTERS", "Adapter"]

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter for adapter in (openai.ADAPTER, otel.ADAPTER, dialogue.ADAPTER, jsonl.ADAPTER)
}
