"""One raw record becomes one protected record or one quarantined record. No Faust, no Kafka, no clock.

A batch (several interactions of one unit in a record) is one record too: one comes out, so that what is said
of source offsets holds for it. Each item is protected as it would be alone; where one cannot be, the record
goes to quarantine whole.

    decode ──▶ subject tokens ──▶ protect ──▶ outcome
      │         (one round trip     │
      └─ refused  a batch)          └─ refused ──▶ quarantine

`decode` and `protect` are pure, and the CPU's work: the caller runs them in a thread. Between them the store
is asked once for a whole batch. A store that does not answer is waited for: it is never a reason for
quarantine, and nothing is acknowledged meanwhile.

Guarantee: the protected key, value and headers are a function of the record, its place, the keys and the
policy version alone; a record seen again gives the same bytes. A quarantined record has the same place, key
and error again; its ciphertext differs, since each has a fresh salt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from veilstream.contracts import KeyProvider
from veilstream.errors import EnvelopeInvalid, RecordInvalid, RecordTooLarge, StoreUnavailable
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Headers, Origin, trace_context
from veilstream.events.types import BATCH, PROTECTED, PROTECTED_BATCH
from veilstream.events.units import in_item
from veilstream.keys import ledger_token
from veilstream.processors.decoding import Decoded, RawRecord, Refused, decode
from veilstream.processors.sealing import SOURCE, quarantined
from veilstream.protection import Protector, Tokens
from veilstream.telemetry.logs import emit

__all__ = ["Outcome", "People", "Pipeline"]

T = TypeVar("T")
Run = Callable[[Callable[[], T]], Awaitable[T]]

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0


class Outcome(NamedTuple):
    """What a raw record became. `error` is None for a protected one."""

    topic: str  # short name: interactions.protected or interactions.quarantine
    key: bytes
    value: bytes
    headers: Headers
    error: RecordInvalid | None
    partition: int  # of the raw record
    offset: int


class People(Protocol):
    """`keys.PersonKeys`: subject tokens of a batch in one round trip."""

    async def subject_tokens(self, units: Sequence[tuple[str, str, str]]) -> list[str]: ...


class Pipeline:
    """Processes records of one topic under one policy.

    Args:
        protector: what is done to an interaction.
        provider: root keys; a missing operator's or ledger's key is found out at once.
        people: subject tokens.
        topic: full name of the raw topic, as the quarantine names it.
        incarnation: of the raw topic; `set_incarnation` changes it.
        limit_bytes: largest record, raw or protected: key, value and headers.
        quarantine_limit_bytes: largest quarantine record.

    Raises:
        KeyMissing: no operator's or ledger's key.
    """

    def __init__(
        self,
        *,
        protector: Protector,
        provider: KeyProvider,
        people: People,
        topic: str,
        incarnation: str,
        limit_bytes: int,
        quarantine_limit_bytes: int,
    ) -> None:
        self._protector = protector
        self._provider = provider
        self._people = people
        self._topic = topic
        self._incarnation = incarnation
        self._limit_bytes = limit_bytes
        self._quarantine_limit_bytes = quarantine_limit_bytes
        self._ledger = provider.ledger()
        self._pseudonyms: dict[str, Tokens] = {}
        provider.operator()

    def set_incarnation(self, incarnation: str) -> None:
        """The raw topic's id, asked for again when partitions change hands."""
        self._incarnation = incarnation

    async def batch(
        self, records: Sequence[RawRecord], run: Run[Any], waiting: Callable[[], None]
    ) -> list[Outcome]:
        """Outcomes of a batch, in its order; returns only when every record has one.

        `run` runs a function elsewhere (a thread); `waiting` is called
        while the store is waited for.

        Raises:
            KeyMissing: a key that was there is gone: the operator's business, not the record's.
        """
        decoded: list[Decoded | Refused] = await run(lambda: [self.decode(record) for record in records])
        tokens = await self._tokens([item for item in decoded if isinstance(item, Decoded)], waiting)
        outcomes: list[Outcome] = await run(lambda: [self.finish(item, tokens) for item in decoded])
        return outcomes

    def decode(self, record: RawRecord) -> Decoded | Refused:
        """Read a record; see `decoding.decode`."""
        return decode(record, self._provider, self._limit_bytes)

    def finish(self, item: Decoded | Refused, tokens: dict[tuple[str, str, str], str]) -> Outcome:
        """Protect a decoded record, or seal a refused one."""
        if isinstance(item, Decoded):
            try:
                token = tokens.get(item.person)
                if token is None:
                    raise RecordInvalid("unprotectable", detail="the person's key does not open")
                return self._protect(item, token)
            except RecordInvalid as error:
                item = Refused(item.record, error, item.tenant)
        key, value, headers = quarantined(
            item,
            provider=self._provider,
            topic=self._topic,
            incarnation=self._incarnation,
            policy_version=self._protector.policy_version,
            limit_bytes=self._quarantine_limit_bytes,
        )
        record = item.record
        return Outcome(
            "interactions.quarantine", key, value, headers, item.error, record.partition, record.offset
        )

    def _protect(self, item: Decoded, subject_token: str) -> Outcome:
        record, tenant = item.record, item.tenant
        batch = item.attributes.type == BATCH
        try:
            tokens = self._tenant_tokens(tenant)
            ledger = ledger_token(self._ledger, tenant, item.unit, item.name)

            def protect(interaction: dict[str, Any]) -> dict[str, Any]:
                return self._protector.interaction(
                    interaction, tokens=tokens, subject_token=subject_token, ledger_token=ledger
                )

            value = codec.dumps(_batch(item.value, protect, tokens) if batch else protect(item.value))
            event = _event_token(tokens, item.attributes.id)
        except RecordInvalid:
            raise
        except Exception as error:
            # Whatever the engine trips over is this record's fault, and must not stop the stream.
            raise RecordInvalid("unprotectable", detail=type(error).__name__) from None
        attributes = Attributes(
            type=PROTECTED_BATCH if batch else PROTECTED,
            source=SOURCE,
            id=event,
            time=item.attributes.time,
            traceparent=item.attributes.traceparent,
            policy_version=self._protector.policy_version,
            origin=Origin(self._incarnation, record.partition, record.offset),
        )
        key, headers = subject_token.encode("ascii"), attributes.to_headers()
        size = len(key) + len(value) + sum(len(name) + len(data) for name, data in headers)
        if size > self._limit_bytes:
            raise RecordTooLarge(size, self._limit_bytes, batch=batch)
        return Outcome("interactions.protected", key, value, headers, None, record.partition, record.offset)

    def _tenant_tokens(self, tenant: str) -> Tokens:
        found = self._pseudonyms.get(tenant)
        if found is None:
            found = self._pseudonyms[tenant] = Tokens(self._provider.tenant(tenant))
        return found

    async def _tokens(
        self, items: Sequence[Decoded], waiting: Callable[[], None]
    ) -> dict[tuple[str, str, str], str]:
        """Tokens by person. One whose stored key is damaged has none, and holds nobody else up."""
        people = list(dict.fromkeys(item.person for item in items))
        if not people:
            return {}
        try:
            return dict(zip(people, await self._ask(people, waiting), strict=True))
        except EnvelopeInvalid:
            found = {}
            for person in people:
                try:
                    found[person] = (await self._ask([person], waiting))[0]
                except EnvelopeInvalid:
                    continue
            return found

    async def _ask(self, people: Sequence[tuple[str, str, str]], waiting: Callable[[], None]) -> list[str]:
        """Ask the store until it answers."""
        wait, attempt = _FIRST_WAIT_SECONDS, 1
        while True:
            try:
                return await self._people.subject_tokens(people)
            except StoreUnavailable as error:
                name = type(error).__name__
                emit("store_unreachable", level=logging.WARNING, error_type=name, attempt=attempt)
            waiting()
            await asyncio.sleep(wait)
            wait, attempt = min(2 * wait, _LONGEST_WAIT_SECONDS), attempt + 1


def _batch(
    value: dict[str, Any], protect: Callable[[dict[str, Any]], dict[str, Any]], tokens: Tokens
) -> dict[str, Any]:
    """A batch, item by item: nothing that is found in one is carried to the next."""
    items: list[dict[str, Any]] = []
    for index, raw in enumerate(value["interactions"]):
        item: dict[str, Any] = {"id": _event_token(tokens, raw["id"]), "time": raw["time"]}
        trace = trace_context(raw.get("traceparent"))
        if trace is not None:
            item["traceparent"] = trace
        try:
            item["interaction"] = protect(raw["interaction"])
        except RecordInvalid as error:
            raise in_item(error, index) from None
        items.append(item)
    return {"interactions": items}


def _event_token(tokens: Tokens, event_id: str) -> str:
    """The raw id may hold personal data: its token still tells two events apart."""
    return tokens.entity("ce_id", event_id)
