"""Seeded agent conversations with planted personal data of every kind that the strict preset covers.

A persona is a person with one value of each kind. A conversation is that person talking to a support agent
that calls tools: values stand in sentences, in tool arguments (objects, and JSON inside a string), in tool
results, as keys, as numbers and as name-value pairs. A value that only its key name gives away (a person's
name, an account) stands under its key at least once in the record, and in sentences as well.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["PLANTED_KINDS", "Conversation", "conversations"]

PLANTED_KINDS = (
    "PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS",
    "MAC_ADDRESS", "CRYPTO", "URL", "ADDRESS", "DATE_OF_BIRTH", "ACCOUNT", "USER_ID", "SECRET",
)  # fmt: skip

_FIRST = (
    "Amara", "Bogdan", "Cecilia", "Dmitri", "Eleni", "Farouk", "Greta", "Hiroshi", "Ingrid", "Joaquin",
    "Katarina", "Leopold", "Mireille", "Nnamdi", "Oksana", "Priyanka", "Quentin", "Rosalind", "Stellan",
    "Tatiana", "Ulrich", "Valentina", "Wolfgang", "Xiomara", "Yevgenia", "Zbigniew",
)  # fmt: skip
_LAST = (
    "Abernathy", "Bjornstad", "Castellano", "Drummond", "Eriksson", "Fitzwilliam", "Grunwald", "Haverford",
    "Ivanovich", "Jankowski", "Kavanagh", "Lindqvist", "Montgomery", "Nakashima", "Okonkwo", "Pemberton",
    "Quarterman", "Rasmussen", "Szymanski", "Thistlewood", "Uzunov", "Vandermeer", "Whitcombe", "Yamaguchi",
)  # fmt: skip
_STREETS = (
    "Larkspur Lane",
    "Quarry Hill Road",
    "Mulberry Terrace",
    "Old Foundry Street",
    "Heron Quay Avenue",
)
_TOWNS = ("Ashbourne", "Millbrook", "Eastvale", "Kingsport", "Marlow Falls")


@dataclass(frozen=True, slots=True)
class Conversation:
    """An interaction value of the contract (without tenant), its person, and what was planted in it."""

    conversation: str
    subject: str
    messages: list[dict[str, Any]]
    planted: tuple[tuple[str, str], ...]  # (kind, value)


def conversations(count: int, seed: int) -> Iterator[Conversation]:
    """Yield `count` conversations, one a person; the same for the same seed."""
    for index in range(count):
        # Not for secrets: the values only have to be the same again for the same seed.
        rng = random.Random(f"{seed}/{index}")  # noqa: S311
        yield _conversation(index, rng)


def _conversation(index: int, rng: random.Random) -> Conversation:
    who = _persona(index, rng)
    scenes = rng.sample(_SCENES, k=rng.randint(2, 4))
    messages: list[dict[str, Any]] = []
    for scene in scenes:
        messages += scene(who, rng)
    messages += _identify(who)
    return Conversation(
        conversation=f"conv-{who['USER_ID']}",
        subject=who["USER_ID"],
        messages=messages,
        planted=tuple((kind, who[kind]) for kind in PLANTED_KINDS),
    )


def _persona(index: int, rng: random.Random) -> dict[str, str]:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    digits = "".join(rng.choices(string.digits, k=6))
    handle = f"{first[:3]}{last}{digits}".lower()
    area, office = rng.choice(("212", "312", "415", "617", "206")), rng.randint(220, 989)
    return {
        "PERSON": f"{first} {last}",
        "EMAIL_ADDRESS": f"{handle}@example.com",
        "PHONE_NUMBER": f"({area}) {office}-{rng.randint(1000, 9999)}",
        "CREDIT_CARD": _luhn("4" + "".join(rng.choices(string.digits, k=14))),
        "IBAN_CODE": _iban("DE", "".join(rng.choices(string.digits, k=18))),
        "US_SSN": f"{rng.choice((219, 331, 457, 512))}-{rng.randint(11, 79)}-{rng.randint(1001, 9998)}",
        "IP_ADDRESS": f"203.0.113.{rng.randint(1, 254)}",
        "MAC_ADDRESS": ":".join(f"{rng.randint(16, 255):02x}" for _ in range(6)),
        "CRYPTO": _bitcoin(rng),
        "URL": f"https://profiles.example.org/{handle}/settings",
        "ADDRESS": f"{rng.randint(100, 9999)} {rng.choice(_STREETS)}, {rng.choice(_TOWNS)}",
        "DATE_OF_BIRTH": f"{rng.randint(1945, 2004)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "ACCOUNT": f"{last.lower()}-savings-{digits}",
        "USER_ID": f"cust-{index:05d}-{digits}",
        "SECRET": "sk-" + "".join(rng.choices(string.ascii_letters + string.digits, k=40)),
    }


def _luhn(stem: str) -> str:
    total = 0
    for position, digit in enumerate(reversed(stem)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return stem + str(-total % 10)


def _iban(country: str, account: str) -> str:
    number = "".join(str(int(c, 36)) for c in account + country + "00")
    return f"{country}{98 - int(number) % 97:02d}{account}"


def _bitcoin(rng: random.Random) -> str:
    """A pay-to-public-key-hash address: base58check of version 0 and 20 bytes."""
    import hashlib

    body = b"\0" + rng.randbytes(20)
    data = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" + text


def _text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _call(name: str, arguments: Any, response: Any, call_id: str = "call-1") -> list[dict[str, Any]]:
    call = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
    answer = {"type": "tool_call_response", "id": call_id, "response": response}
    return [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [answer]}]


def _parcel(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    return [
        _text("user", rng.choice((
            f"Where is my parcel? It goes to {who['ADDRESS']}.",
            f"Can you track the delivery for {who['EMAIL_ADDRESS']}?",
        ))),
        *_call(
            "TrackParcel",
            {"address": who["ADDRESS"], "email": who["EMAIL_ADDRESS"]},
            {"status": "in transit", "contact": {"name": who["PERSON"], "phone": who["PHONE_NUMBER"]}},
        ),
        _text("assistant", f"It is on its way. We will ring {who['PHONE_NUMBER']}, {who['PERSON']}."),
    ]  # fmt: skip


def _refund(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    card: Any = int(who["CREDIT_CARD"]) if rng.random() < 0.5 else who["CREDIT_CARD"]
    return [
        _text("user", rng.choice((
            f"I was charged twice on {who['CREDIT_CARD']}, please give the money back.",
            f"Refund the order to {who['IBAN_CODE']} please.",
        ))),
        *_call(
            "RefundPayment",
            # As many agents log it: arguments as JSON inside a string.
            orjson.dumps({"card_number": card, "iban": who["IBAN_CODE"], "amount": 40}).decode(),
            {"ok": True, "holder": {"full_name": who["PERSON"]}},
        ),
        _text("assistant", f"Done, {who['PERSON'].split()[0]}: 40 dollars go back to your account."),
    ]  # fmt: skip


def _contact(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    return [
        _text("user", rng.choice((
            f"My new number is {who['PHONE_NUMBER']} and my mail is {who['EMAIL_ADDRESS']}.",
            f"Please change my address to {who['ADDRESS']}.",
        ))),
        *_call(
            "UpdateContact",
            {"user_id": who["USER_ID"], "changes": [
                {"key": "phone", "value": who["PHONE_NUMBER"]},
                {"key": "home_address", "value": who["ADDRESS"]},
            ]},
            {"updated": {who["EMAIL_ADDRESS"]: True}},
        ),
        _text("assistant", f"Updated. I have {who['EMAIL_ADDRESS'].upper()} on file."),
    ]  # fmt: skip


def _ticket(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    return [
        _text("user", rng.choice((
            f"I cannot log in from {who['IP_ADDRESS']}, open a ticket.",
            f"My router {who['MAC_ADDRESS']} drops the connection, can someone look at it?",
        ))),
        *_call(
            "OpenTicket",
            {"summary": "login fails", "client": {"ip": who["IP_ADDRESS"], "mac_address": who["MAC_ADDRESS"]},
             "profile": who["URL"], "headers": [{"name": "authorization", "value": who["SECRET"]}]},
            {"ticket": rng.randint(1000, 9999), "account_name": who["ACCOUNT"]},
        ),
        _text("assistant", f"I opened a ticket for the account {who['ACCOUNT']}; see {who['URL']}."),
    ]  # fmt: skip


def _callback(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    return [
        _text("user", rng.choice((
            f"Please call me back on {who['PHONE_NUMBER']}.",
            "I would rather talk to a person, can someone call me tomorrow?",
        ))),
        *_call(
            "ScheduleCallback",
            {"customer": {"customer_name": who["PERSON"], "telephone": who["PHONE_NUMBER"]}, "day": "Monday"},
            {"confirmed": True},
        ),
        _text("assistant", f"Somebody will call you tomorrow, {who['PERSON']}."),
    ]  # fmt: skip


def _mail(who: dict[str, str], rng: random.Random) -> list[dict[str, Any]]:
    return [
        _text("user", rng.choice((
            f"Send the invoice to {who['EMAIL_ADDRESS']}.",
            f"Mail my wallet address {who['CRYPTO']} to me for my records.",
        ))),
        *_call(
            "SendEmail",
            {"to": who["EMAIL_ADDRESS"], "recipient_name": who["PERSON"], "body": f"Wallet: {who['CRYPTO']}"},
            {"queued": True, "meta": orjson.dumps({"wallet": who["CRYPTO"]}).decode()},
        ),
        _text("assistant", f"Sent to {who['EMAIL_ADDRESS']}."),
    ]  # fmt: skip


_SCENES = (_parcel, _refund, _contact, _ticket, _callback, _mail)


def _identify(who: dict[str, str]) -> list[dict[str, Any]]:
    """The end of every conversation: one value of each kind, in sentences and in structure."""
    return [
        _text(
            "user",
            f"For the record: I am {who['PERSON']}, born {who['DATE_OF_BIRTH']}, SSN {who['US_SSN']}, "
            f"account {who['ACCOUNT']}, id {who['USER_ID']}. My key is {who['SECRET']}.",
        ),
        *_call(
            "VerifyIdentity",
            {
                "customer": {
                    "name": who["PERSON"], "dob": who["DATE_OF_BIRTH"], "ssn": who["US_SSN"].replace("-", ""),
                    "account_name": who["ACCOUNT"], "user_id": who["USER_ID"], "api_key": who["SECRET"],
                },
                "channels": {"email": who["EMAIL_ADDRESS"], "phone": who["PHONE_NUMBER"], "site": who["URL"]},
                "payment": {"card": who["CREDIT_CARD"], "iban": who["IBAN_CODE"], "wallet": who["CRYPTO"]},
                "device": {"ip_address": who["IP_ADDRESS"], "mac": who["MAC_ADDRESS"]},
                "address": {"line1": who["ADDRESS"]},
            },
            {"match": True},
            "call-9",
        ),
        _text("assistant", "Thank you, that matches."),
    ]  # fmt: skip
