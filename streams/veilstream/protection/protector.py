"""A policy applied to records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from veilstream.contracts import Detector
from veilstream.errors import RecordInvalid
from veilstream.events import codec
from veilstream.events.types import PROTECTED
from veilstream.events.walker import rewrite
from veilstream.protection.policy import Policy
from veilstream.protection.record import Record
from veilstream.protection.structure import INTERACTION_STRUCTURE, Structure
from veilstream.protection.tokens import Tokens

__all__ = ["Protector"]

_OPTIONAL = ("purpose", "lawful_basis", "jurisdiction", "retention", "consent")
_OPTIONAL_LONGEST = 256


def _uncounted(kind: str) -> None:
    """Nobody counts."""


class Protector:
    """Pure: the output is a function of the value, the tokens' key and the policy's version.

    It keeps no text between two calls, and may be used by several threads.
    """

    def __init__(
        self, detector: Detector, policy: Policy, *, count: Callable[[str], None] = _uncounted
    ) -> None:
        """`count` is called with the kind of each replacement, for metrics."""
        self._detector = detector
        self._policy = policy
        self._count = count

    @property
    def policy_version(self) -> str:
        """What `ce_policyversion` says."""
        return self._policy.version

    def value(
        self,
        value: Any,
        *,
        structure: Structure,
        tokens: Tokens,
        declared: Mapping[str, str] | None = None,
    ) -> Any:
        """Any JSON value, same shape, without personal data.

        Args:
            value: as JSON has it: objects, arrays, strings, numbers, booleans, null. It is not changed.
            structure: places that hold words of the format.
            tokens: the tenant's pseudonyms.
            declared: the record's own `SUBJECT` and `CONVERSATION`, where they are known.

        Raises:
            RecordInvalid: `too_deep`, or `unprotectable` where the engine failed.
        """
        try:
            record = self._record(structure, tokens, declared or {})
            rewrite(value, record.collect)
            return rewrite(value, record.apply)
        except RecordInvalid:
            raise
        except Exception as error:
            raise RecordInvalid("unprotectable", detail=type(error).__name__) from None

    def interaction(
        self, value: Mapping[str, Any], *, tokens: Tokens, subject_token: str, ledger_token: str
    ) -> dict[str, Any]:
        """A checked `ai.veilstream.interaction.v1` becomes an `ai.veilstream.interaction.protected.v1`.

        The conversation becomes its entity token; the privacy block is made anew from the tenant, the unit,
        the tokens, and the optional fields after detection (one that grows over its limit becomes null).

        Raises:
            RecordInvalid: `too_deep`, `unprotectable`, or `schema` where what came out breaks the contract.
        """
        try:
            protected = self._interaction(value, tokens, subject_token, ledger_token)
        except RecordInvalid:
            raise
        except Exception as error:
            raise RecordInvalid("unprotectable", detail=type(error).__name__) from None
        codec.check(PROTECTED, protected)
        return protected

    def _interaction(
        self, value: Mapping[str, Any], tokens: Tokens, subject_token: str, ledger_token: str
    ) -> dict[str, Any]:
        privacy: Mapping[str, Any] = value["privacy"]
        conversation: str = value["conversation"]
        subject: str | None = privacy.get("subject")
        units = {"CONVERSATION": conversation}
        if subject is not None:
            units["SUBJECT"] = subject
        record = self._record(INTERACTION_STRUCTURE, tokens, units)
        body: dict[str, Any] = {"messages": value["messages"]}
        if "attributes" in value:
            body["attributes"] = value["attributes"]
        optional = {name: privacy[name] for name in _OPTIONAL if name in privacy}
        for part in (body, optional):
            rewrite(part, record.collect)
        protected = {
            "conversation": tokens.entity("conversation", conversation),
            **rewrite(body, record.apply),
            "privacy": {
                "tenant": privacy["tenant"],
                "unit": "conversation" if subject is None else "subject",
                "subject_token": subject_token,
                "ledger_token": ledger_token,
                **rewrite(optional, record.apply),
            },
        }
        for name in optional:
            if len(str(protected["privacy"][name])) > _OPTIONAL_LONGEST:
                protected["privacy"][name] = None
        return protected

    def _record(self, structure: Structure, tokens: Tokens, units: Mapping[str, str]) -> Record:
        record = Record(self._detector, self._policy, tokens, structure, self._count)
        # The subject first: where both are the same value, it is the subject.
        for kind in sorted(units, reverse=True):
            record.declare(kind, units[kind])
        return record
