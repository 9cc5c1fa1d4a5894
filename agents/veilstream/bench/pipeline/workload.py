"""Seeded records from the text of public dialogues, with personal data planted in them.

A turn is a user's message and an agent's, its new text log-normal with a median of 2 KB (σ 0.5, cut to 256
bytes and 16 KB) and made of the dialogues' utterances in random order, so that no two turns are alike. Two
turns in three carry planted data: an e-mail address, a telephone number, a card number that passes Luhn's
test, or a name that introduces itself.

* `fresh`: a record holds its new turn only.
* `replayed`: conversations of 4 to 16 turns (uniform), 64 of them under way at a time; each record holds its
  conversation from the beginning.

A record's *new bytes* are those that its conversation's last record did not have.
"""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from veilstream.client.records import Record, batch, record
from veilstream.errors import SettingInvalid

__all__ = ["Made", "records", "utterances"]

MEDIAN_BYTES = 2000
_SIGMA = 0.5
_LEAST, _MOST = 256, 16_000
_TURNS = (4, 16)
_UNDER_WAY = 64
_PEOPLE = 4000
_TENANT = "bench"
_SOURCE = "veilstream/bench"
_FRAME_BYTES = 330  # of a fresh record's value beside its text, about
_NAMES = ("Ada Moreno", "Ravi Shah", "Lena Fischer", "Tom Okafor", "Mei Chen", "Paul Novak")


class Made(NamedTuple):
    """A record for the wire, and how many of its value's bytes are new."""

    record: Record
    new_bytes: int


def utterances(data: Path) -> list[str]:
    """What people and agents say in `<data>/sgd/train.jsonl.gz` (or in the file that `data` names).

    Raises:
        SettingInvalid: it is not there, or is something else.
    """
    path = data / "sgd" / "train.jsonl.gz" if data.is_dir() else data
    if not path.is_file():
        raise SettingInvalid(
            "the dialogues (sgd/train.jsonl.gz) are not there",
            hint="set VEILSTREAM_DATA to the folder that holds them, or give --data",
        )
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            found = [turn["utterance"] for line in lines for turn in orjson.loads(line)["turns"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError):
        found = []
    if not found:
        raise SettingInvalid(
            "the file of dialogues cannot be read", hint="a line is a dialogue: turns[].utterance"
        )
    return found


def records(
    texts: Sequence[str], kind: str, seed: int, *, record_kb: int | None = None, batch_size: int = 1
) -> Iterator[Made]:
    """Yield records without end; the same seed gives the same values (event ids and times are new)."""
    dice = random.Random(seed)  # noqa: S311  # a workload, not a secret
    made = _replayed(texts, dice) if kind == "replayed" else _fresh(texts, dice, record_kb)
    if batch_size == 1:
        for value, new in made:
            sent = _record(value)
            yield Made(sent, min(len(sent.value), new or len(sent.value)))
        return
    while True:
        items = [next(made) for _ in range(batch_size)]
        subject = items[0][0]["privacy"]["subject"]
        for value, _ in items:  # a batch is of one unit
            value["privacy"]["subject"] = subject
        sent = batch([value for value, _ in items], source=_SOURCE, secret=None, limit_bytes=1_000_000)
        new = sum(new for _, new in items)
        yield Made(sent, min(len(sent.value), new or len(sent.value)))


def _record(value: dict[str, Any]) -> Record:
    return record(value, source=_SOURCE, secret=None, limit_bytes=1_000_000)


def _fresh(
    texts: Sequence[str], dice: random.Random, record_kb: int | None
) -> Iterator[tuple[dict[str, Any], int]]:
    while True:
        size = _new_text_bytes(dice) if record_kb is None else record_kb * 1000 - _FRAME_BYTES
        yield _value(f"c-{dice.getrandbits(64):016x}", dice.randrange(_PEOPLE), _turn(texts, dice, size)), 0


def _replayed(texts: Sequence[str], dice: random.Random) -> Iterator[tuple[dict[str, Any], int]]:
    """New bytes of a conversation's first record are 0, for all."""
    under_way: list[tuple[str, int, list[dict[str, Any]], int]] = []
    while True:
        if len(under_way) < _UNDER_WAY:
            name, person = f"c-{dice.getrandbits(64):016x}", dice.randrange(_PEOPLE)
            under_way.append((name, person, [], dice.randint(*_TURNS)))
        place = dice.randrange(len(under_way))
        name, person, messages, turns = under_way[place]
        turn = _turn(texts, dice, _new_text_bytes(dice))
        first = not messages
        messages += turn
        yield (
            _value(name, person, list(messages)),
            0 if first else sum(len(orjson.dumps(message)) + 1 for message in turn),
        )
        if len(messages) >= 2 * turns:
            under_way.pop(place)


def _new_text_bytes(dice: random.Random) -> int:
    return int(min(max(math.exp(dice.gauss(math.log(MEDIAN_BYTES), _SIGMA)), _LEAST), _MOST))


def _value(conversation: str, person: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "conversation": conversation,
        "messages": messages,
        "privacy": {"tenant": _TENANT, "subject": f"person-{person}", "purpose": "support"},
    }


def _turn(texts: Sequence[str], dice: random.Random, size: int) -> list[dict[str, Any]]:
    asked = size * 2 // 5
    planted = _planted(dice) if dice.random() < 2 / 3 else ""
    return [
        {"role": "user", "parts": [{"type": "text", "content": _text(texts, dice, asked, planted)}]},
        {"role": "assistant", "parts": [{"type": "text", "content": _text(texts, dice, size - asked, "")}]},
    ]


def _text(texts: Sequence[str], dice: random.Random, size: int, planted: str) -> str:
    """Utterances up to a size, the last one cut."""
    parts, length = [planted] if planted else [], len(planted)
    while length < size:
        parts.append(texts[int(dice.random() * len(texts))])
        length += len(parts[-1]) + 1
    return " ".join(parts)[: max(size, len(planted))]


def _planted(dice: random.Random) -> str:
    match dice.randrange(4):
        case 0:
            return f"Write to me at u{dice.randrange(10**8)}@example{dice.randrange(900)}.com please."
        case 1:
            return f"My number is (415) 555-{dice.randrange(10**4):04d}, call any time."
        case 2:
            return f"Charge my card {_card(dice)}."
        case _:
            return f"My name is {dice.choice(_NAMES)}."


def _card(dice: random.Random) -> str:
    """A number of 16 digits with Luhn's check digit (ISO/IEC 7812-1)."""
    digits = [4, *(dice.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    digits.append(-sum(doubled) % 10)
    return "".join(map(str, digits))
