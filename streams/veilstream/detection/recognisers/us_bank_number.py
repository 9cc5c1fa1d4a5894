"""US bank account and routing numbers: 8–17 digits, so only beside a word that explains them."""

from __future__ import annotations

from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import CONTEXT_SCORE, Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context(
    "account|acct|account number|bank|routing|aba|checking|savings|debit|wire|deposit|sort code|swift|bic"
)


def build() -> Recogniser:
    presidio = from_presidio(
        "us_bank_number",
        predefined().UsBankRecognizer(),
        trigger=r"(?<!\d)\d{8}",
        explained_by=_EXPLAINED,
        floor=CONTEXT_SCORE,
    )

    def find(text: str) -> Iterable[Finding]:
        return presidio.find(text) if _EXPLAINED.search(text) else ()

    return Recogniser("us_bank_number", find, "digit", presidio.trigger)
