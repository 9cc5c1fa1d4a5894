"""The one tree of errors.

Every error has a stable `code` (used in quarantine records, metrics and exit messages), a sentence that
says what happened, and `hint`, what to do about it. **No error carries a person's data**: the offending
value is described by a `path`, a `kind` and lengths, never quoted.

`CATALOGUE` lists every code; `docs/errors.md` is checked against it.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CATALOGUE",
    "AccountingError",
    "BrokerUnavailable",
    "BudgetExhausted",
    "BudgetExists",
    "BudgetUnknown",
    "ChargeInvalid",
    "EnvelopeInvalid",
    "Fenced",
    "JournalBroken",
    "KeyMissing",
    "LedgerDiffers",
    "MissingExtra",
    "PolicyInvalid",
    "RecordInvalid",
    "RecordTooLarge",
    "ReleaseInvalid",
    "SettingInvalid",
    "SignatureInvalid",
    "SilenceInvalid",
    "SinkFailed",
    "SinkRefused",
    "StoreUnavailable",
    "TopicMismatch",
    "TrainingFailed",
    "VeilstreamError",
]


class VeilstreamError(Exception):
    """Root of the tree. `exit_code` is what the command line exits with."""

    code: ClassVar[str] = "veilstream"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingInvalid(VeilstreamError):
    """A setting is wrong: says which, what it got (never a secret) and what it takes."""

    code = "setting_invalid"
    exit_code = 2


class PolicyInvalid(VeilstreamError):
    """A policy file cannot be used: says where and what it takes."""

    code = "policy_invalid"
    exit_code = 2


class MissingExtra(VeilstreamError):
    """A command needs an extra that is not installed."""

    code = "missing_extra"
    exit_code = 2


class BrokerUnavailable(VeilstreamError):
    """Kafka cannot be reached, or refuses us."""

    code = "broker_unavailable"


class StoreUnavailable(VeilstreamError):
    """Valkey or Redis cannot be reached, or refuses us."""

    code = "store_unavailable"


class TopicMismatch(VeilstreamError):
    """A topic exists with settings that break what it promises."""

    code = "topic_mismatch"


class RecordInvalid(VeilstreamError):
    """A record breaks the event contract.

    `kind` is one of `RecordInvalid.KINDS`; `path` is a JSON path in which only words of the contract
    appear (every other key is written `*`, since keys can be personal data).
    """

    code = "record_invalid"
    KINDS: ClassVar[tuple[str, ...]] = (
        "not_json",  # not UTF-8, not JSON, a lone surrogate, a number out of range
        "too_deep",  # nested deeper than the walker goes
        "too_large",  # over the topic's record limit
        "unknown_type",  # a ce_type or version that this code does not know
        "missing_attribute",  # a required CloudEvents attribute is absent
        "bad_attribute",  # a CloudEvents attribute is malformed
        "schema",  # the value breaks its JSON Schema
        "mixed_units",  # a batch holds interactions of more than one person, conversation or tenant
        "unknown_tenant",  # no key for the tenant
        "unprotectable",  # the engine failed on this record
    )

    def __init__(self, kind: str, path: str = "$", *, detail: str = "", hint: str = "") -> None:
        if kind not in self.KINDS:
            raise ValueError(f"unknown kind of RecordInvalid: {kind}")
        super().__init__(f"{kind} at {path}" + (f": {detail}" if detail else ""), hint=hint)
        self.kind = kind
        self.path = path
        self.detail = detail


class RecordTooLarge(RecordInvalid):
    """A record is over the limit; raised to the producer before anything is sent."""

    code = "record_too_large"

    def __init__(self, size_bytes: int, limit_bytes: int, *, batch: bool = False) -> None:
        smaller = "put fewer interactions into a batch" if batch else "split the conversation"
        super().__init__(
            "too_large",
            detail=f"{size_bytes} bytes, the limit is {limit_bytes}",
            hint=f"{smaller}, or raise kafka.max_record_bytes on broker and client",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class KeyMissing(VeilstreamError):
    """A key that is needed is not in the key folder."""

    code = "key_missing"


class EnvelopeInvalid(VeilstreamError):
    """A ciphertext cannot be opened: unknown suite, wrong key, wrong place or changed bytes."""

    code = "envelope_invalid"


class AccountingError(VeilstreamError):
    """A parameter of the accounting is outside its domain."""

    code = "accounting"


class BudgetUnknown(VeilstreamError):
    """No budget of that name."""

    code = "budget_unknown"


class BudgetExists(VeilstreamError):
    """A budget of that name exists with other parameters."""

    code = "budget_exists"


class BudgetExhausted(VeilstreamError):
    """The public odometer has no room for the charge."""

    code = "budget_exhausted"


class ChargeInvalid(VeilstreamError):
    """A charge is malformed; nothing was changed."""

    code = "charge_invalid"


class Fenced(VeilstreamError):
    """Another process holds a newer lease; this one must stop."""

    code = "fenced"


class JournalBroken(VeilstreamError):
    """The journal's sequence or hash chain does not hold."""

    code = "journal_broken"


class LedgerDiffers(VeilstreamError):
    """The store differs from what the journal says."""

    code = "ledger_differs"


class TrainingFailed(VeilstreamError):
    """A training attempt ended without a release; what it was charged stays charged."""

    code = "training_failed"


class ReleaseInvalid(VeilstreamError):
    """A release's bytes do not match its card, or cannot be decrypted."""

    code = "release_invalid"


class SilenceInvalid(VeilstreamError):
    """A silence cannot be made or found: says what it takes."""

    code = "silence_invalid"
    exit_code = 2


class SinkFailed(VeilstreamError):
    """A sink did not take an alert now; it is tried again.

    `retry_after_seconds` is the least wait that the receiver asked for, if it did.
    """

    code = "sink_failed"

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class SinkRefused(VeilstreamError):
    """A sink will never take this alert: trying again is of no use."""

    code = "sink_refused"


class SignatureInvalid(VeilstreamError):
    """A webhook's signature is missing, malformed, too old, or another's."""

    code = "signature_invalid"


def _tree(cls: type[VeilstreamError]) -> list[type[VeilstreamError]]:
    return [cls, *(d for sub in cls.__subclasses__() for d in _tree(sub))]


CATALOGUE: dict[str, type[VeilstreamError]] = {cls.code: cls for cls in _tree(VeilstreamError)}
