"""The filter behind `veilstream redact`: a line out for a line in, in the shape it came in.

No Kafka, no store: a line is read by its format's adapter (which says whether it is of that format, and who
its subject is), and protected in place. A line that cannot be read, a blank one included, becomes an error
object, so that line n of the output is line n of the input:

    {"error": {"code": "record_invalid", "kind": "not_json", "path": "$", "line": 7}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal

from veilstream.errors import RecordInvalid
from veilstream.events import codec
from veilstream.events.adapters import ADAPTERS
from veilstream.protection.protector import Protector
from veilstream.protection.structure import Structure
from veilstream.protection.tokens import Tokens

__all__ = ["Format", "redact_lines"]

Format = Literal["openai", "otel", "dialogue", "jsonl"]

_TENANT = "redact"  # adapters ask for one; it does not stand in the output


def redact_lines(
    lines: Iterable[bytes], *, format: Format, protector: Protector, tokens: Tokens
) -> Iterator[tuple[bytes, bool]]:
    """Yield `(line, whether it could be read)` for each line, without its end.

    Args:
        lines: JSON, one value a line, with or without line ends.
        format: which adapter reads them.
    """
    structure = _structure(format)
    for number, line in enumerate(lines, start=1):
        try:
            value = codec.loads(line.strip())
            redacted = protector.value(
                value, structure=structure, tokens=tokens, declared=_units(value, format)
            )
            yield codec.dumps(redacted), True
        except RecordInvalid as error:
            found = {"code": error.code, "kind": error.kind, "path": error.path, "line": number}
            yield codec.dumps({"error": found}), False


def _units(value: Any, format: Format) -> dict[str, str]:
    """The line's subject and conversation, where all its interactions have the same.

    Raises:
        RecordInvalid: the line is not of the format.
    """
    interactions = ADAPTERS[format].read(value, tenant=_TENANT, subject=None)
    found: dict[str, str] = {}
    subjects = {i["privacy"].get("subject") for i in interactions} - {None}
    conversations = {i["conversation"] for i in interactions}
    if len(subjects) == 1:
        found["SUBJECT"] = str(subjects.pop())
    if len(conversations) == 1:
        found["CONVERSATION"] = str(conversations.pop())
    return found


@cache
def _structure(format: Format) -> Structure:
    adapter = ADAPTERS[format]
    return Structure(adapter.words, fixed=adapter.fixed, ids=adapter.ids)
