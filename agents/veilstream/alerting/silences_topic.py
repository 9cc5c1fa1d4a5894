"""Silences and open alerts as the command line reads and writes them, on the topic `budget.alerts`."""

from __future__ import annotations

import re
import secrets
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from veilstream.alerting.delivery_board import Board
from veilstream.alerting.delivery_log import PUBLIC_TOPIC, load_board
from veilstream.alerting.silences import Matcher, Silence, load_inhibitions
from veilstream.errors import RecordInvalid, SilenceInvalid
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode, dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import producer, read_to_end

__all__ = ["expire_silence", "last_alerts", "new_silence", "read_board", "write_silence"]


def new_silence(matcher: Matcher, *, starts: float, seconds: float, by: str, comment: str) -> Silence:
    """A silence with an id of its own: when it begins, UTC, and six random characters.

    Raises:
        SilenceInvalid: no time, no comment, or one that is too long.
    """
    if not seconds > 0 or starts + seconds > 253_402_300_799:  # the year 9999
        raise SilenceInvalid("a silence takes a time above 0, and an end before the year 10000")
    if not comment.strip():
        raise SilenceInvalid("a silence needs a comment", hint="say why, for whoever wonders next")
    stamp = datetime.fromtimestamp(starts, UTC).strftime("%Y%m%d-%H%M%S")
    made = Silence(f"{stamp}-{secrets.token_hex(3)}", matcher, starts, starts + seconds, by, comment.strip())
    _checked(made)
    return made


async def read_board(settings: Settings) -> Board:
    """What fires, and which silences there are.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`. SettingInvalid: of the inhibition rules.
    """
    rules = load_inhibitions(settings.alerting.inhibitions)
    return await load_board(settings.kafka, [PUBLIC_TOPIC], rules, "public")


async def last_alerts(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """The last record of each alert that the topic holds, in their order.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`.
    """
    last: dict[bytes, dict[str, Any]] = {}
    async with aclosing(read_to_end(kafka, topic_name(kafka, PUBLIC_TOPIC))) as records:
        async for record in records:
            last.pop(record.key, None)
            try:
                if Attributes.from_headers(record.headers).type == types.ALERT:
                    last[record.key] = decode(types.ALERT, record.value)
            except RecordInvalid:
                continue
    return list(last.values())


async def write_silence(kafka: KafkaSettings, silence: Silence) -> None:
    """Return when the broker has it. Writing one with the same id again replaces it.

    Raises:
        SilenceInvalid: it breaks its schema. BrokerUnavailable: as `producer`.
    """
    value = _checked(silence)
    key = f"silence/{silence.id}"
    headers = Attributes(type=types.ALERT_SILENCE, source="veilstream/cli", id=key).to_headers()
    async with producer(kafka) as sender:
        await sender.send_and_wait(
            topic_name(kafka, PUBLIC_TOPIC), dumps(value), key.encode(), headers=headers
        )


async def expire_silence(settings: Settings, silence_id: str, now: float) -> Silence:
    """End a silence now; it stays on the topic as what it was. One that has ended stays as it is.

    Raises:
        SilenceInvalid: there is none of that id.
    """
    found = (await read_board(settings)).silences.get(silence_id)
    if found is None:
        shown = silence_id if re.fullmatch(r"[a-z0-9-]{1,64}", silence_id) else "that id"
        raise SilenceInvalid(
            f"there is no silence {shown}", hint="`veilstream alerts silence --list` shows them"
        )
    if found.ends <= now:
        return found
    ended = Silence(found.id, found.matcher, min(found.starts, now), now, found.by, found.comment)
    await write_silence(settings.kafka, ended)
    return ended


def _checked(silence: Silence) -> dict[str, Any]:
    try:
        return silence.to_value()
    except RecordInvalid as error:
        raise SilenceInvalid(f"{error.path.removeprefix('$.')}: {error.detail or 'is not valid'}") from None
