"""Finding personal data in a text, and telling it by the name of a key.

What it promises: `PatternEngine.find` is pure (same text, same findings, no network, no clock), it names the
span and the kind and never stores the text, and its cost grows linearly with the text. `kind_of_names` reads
key names only. A new recogniser is a file in `recognisers/`, a row in its `ALL`, and a test.

What it does not: there is no language model in it. It finds what has a shape (an address, a number, a key) or
a label ("name: …", "my name is …"); a bare name in running text it does not. `veilstream.protection` closes a
part of that gap by carrying what one place of a record declares to the other places of that record.

`import veilstream.detection` is light. `PatternEngine` loads presidio-analyzer when it is asked for, without
torch and transformers (`presidio`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from veilstream.detection.kinds import KINDS
from veilstream.detection.names import kind_of_names, person_word
from veilstream.detection.version import engine_version

if TYPE_CHECKING:
    from veilstream.detection.engine import PatternEngine
    from veilstream.detection.stock import stock_presidio

__all__ = ["KINDS", "PatternEngine", "engine_version", "kind_of_names", "person_word", "stock_presidio"]


def __getattr__(name: str) -> Any:
    if name == "PatternEngine":
        from veilstream.detection.engine import PatternEngine

        return PatternEngine
    if name == "stock_presidio":
        from veilstream.detection.stock import stock_presidio

        return stock_presidio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
