"""Each recogniser: what it finds, whole and under its kind, and what it leaves. All of `ALL` are here."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from veilstream.detection import KINDS, PatternEngine
from veilstream.detection.base import merge
from veilstream.detection.recognisers import ALL

MIN_SCORE = 0.4  # the strict policy's

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"

# recogniser, text, what it finds there, as what
FOUND = [
    ("email", "mail jane.doe+x@example.co.uk.", "jane.doe+x@example.co.uk", "EMAIL_ADDRESS"),
    ("email", "jane@corp.internal is not public", "jane@corp.internal", "EMAIL_ADDRESS"),
    ("email", "(JANE@EXAMPLE.COM)", "JANE@EXAMPLE.COM", "EMAIL_ADDRESS"),
    ("email", "jörg@müller.de", "jörg@müller.de", "EMAIL_ADDRESS"),
    ("email", "jane [at] example.com", "jane [at] example.com", "EMAIL_ADDRESS"),
    ("email", "u=jane%40example.com", "jane%40example.com", "EMAIL_ADDRESS"),
    ("email", "jane%2Edoe%2540example%2Ecom", "jane%2Edoe%2540example%2Ecom", "EMAIL_ADDRESS"),
    ("email", "jane&#64;example.com", "jane&#64;example.com", "EMAIL_ADDRESS"),
    ("email", "jane&#x40;example&#46;com", "jane&#x40;example&#46;com", "EMAIL_ADDRESS"),
    ("email", r"jane\u0040example.com", r"jane\u0040example.com", "EMAIL_ADDRESS"),
    ("email", "jane (at) example (dot) com", "jane (at) example (dot) com", "EMAIL_ADDRESS"),
    ("phone", "call 408-971-8523 now", "408-971-8523", "PHONE_NUMBER"),
    ("phone", "call (408) 971-8523", "(408) 971-8523", "PHONE_NUMBER"),
    ("phone", "+1 408.971.8523 ext. 12", "+1 408.971.8523 ext. 12", "PHONE_NUMBER"),
    ("phone", "at +44 20 7946 0958.", "+44 20 7946 0958", "PHONE_NUMBER"),
    ("phone", "at 020 7946 0958", "020 7946 0958", "PHONE_NUMBER"),
    ("phone", "at 4085551234 or", "4085551234", "PHONE_NUMBER"),
    ("phone", "my phone: 971-8523", "971-8523", "PHONE_NUMBER"),
    ("phone", "it is 71-33-52-22", "71-33-52-22", "PHONE_NUMBER"),
    ("phone", "on 2019-03-08 408-971-8523", "408-971-8523", "PHONE_NUMBER"),
    ("phone", "408-971-8523 408-971-8524", "408-971-8524", "PHONE_NUMBER"),
    ("credit_card", "pay 4111 1111 1111 1111 please", "4111 1111 1111 1111", "CREDIT_CARD"),
    ("credit_card", "pay 4111111111111111", "4111111111111111", "CREDIT_CARD"),
    ("credit_card", "amex 378282246310005", "378282246310005", "CREDIT_CARD"),
    ("credit_card", "card 4111-1111-1111-1112", "4111-1111-1111-1112", "CREDIT_CARD"),
    ("iban", "to DE89 3704 0044 0532 0130 00 now", "DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
    ("iban", "to de89370400440532013000", "de89370400440532013000", "IBAN_CODE"),
    ("iban", "iban GB29NWBK60161331926818", "GB29NWBK60161331926818", "IBAN_CODE"),
    ("us_ssn", "it is 536-90-4399", "536-90-4399", "US_SSN"),
    ("us_ssn", "ssn 536904399", "536904399", "US_SSN"),
    ("us_itin", "itin 912-78-1234", "912-78-1234", "US_ITIN"),
    ("us_passport", "passport number A12345678", "A12345678", "US_PASSPORT"),
    ("us_driver_license", "driver's license D1234567", "D1234567", "US_DRIVER_LICENSE"),
    ("us_bank_number", "account 123456789012", "123456789012", "US_BANK_NUMBER"),
    ("us_mbi", "medicare 1EG4-TE5-MK73", "1EG4-TE5-MK73", "US_MBI"),
    ("uk_nhs", "NHS 943 476 5919", "943 476 5919", "UK_NHS"),
    ("uk_nino", "it is AB 12 34 56 C", "AB 12 34 56 C", "UK_NINO"),
    ("ip", "from 10.1.2.3", "10.1.2.3", "IP_ADDRESS"),
    ("ip", "from 2001:db8::ff00:42:8329", "2001:db8::ff00:42:8329", "IP_ADDRESS"),
    ("mac", "via 00:1a:2B:3C:4D:5E", "00:1a:2B:3C:4D:5E", "MAC_ADDRESS"),
    ("url", "see https://x.org/u/jane?a=b#c.", "https://x.org/u/jane?a=b#c", "URL"),
    ("url", "see www.jane-doe.net!", "www.jane-doe.net", "URL"),
    ("url", "see linkedin.com/in/jane", "linkedin.com/in/jane", "URL"),
    ("url", "postgres://jane:pw@db/x", "postgres://jane:pw@db/x", "URL"),
    ("crypto", "to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "CRYPTO"),
    ("crypto", "to 0x" + "aB" * 20, "0x" + "aB" * 20, "CRYPTO"),
    ("secret", "key sk-proj-abcdefghij0123456789", "sk-proj-abcdefghij0123456789", "SECRET"),
    ("secret", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE", "SECRET"),
    ("secret", "t=ghp_" + "a1" * 18, "ghp_" + "a1" * 18, "SECRET"),
    ("secret", f"got {JWT}", JWT, "SECRET"),
    ("secret", "Bearer abc.def-ghi", "Bearer abc.def-ghi", "SECRET"),
    ("secret", "Basic amFuZTpwdw==", "Basic amFuZTpwdw==", "SECRET"),
    ("secret", f"x {PEM} y", PEM, "SECRET"),
    ("secret", "-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----\nMII", "SECRET"),
    ("blob", "img data:image/png;base64,iVBORw0KGgo= end", "data:image/png;base64,iVBORw0KGgo=", "BLOB"),
    ("blob", "x " + "QUJD" * 60, "QUJD" * 60, "BLOB"),
    ("birth_date", "I was born on March 3rd, 1980.", "March 3rd, 1980", "DATE_OF_BIRTH"),
    ("birth_date", "DOB: 03/12/1980", "03/12/1980", "DATE_OF_BIRTH"),
    ("person", "My name is Jane Doe.", "Jane Doe", "PERSON"),
    ("person", "my name is jane doe", "jane doe", "PERSON"),
    ("person", "see Dr. Ana de la Cruz today", "Ana de la Cruz", "PERSON"),
    ("person", "I am Jane Doe, born", "Jane Doe", "PERSON"),
    ("postal_address", "at 71 North San Pedro Street.", "71 North San Pedro Street", "ADDRESS"),
    ("postal_address", "in 12 mulberry lane", "12 mulberry lane", "ADDRESS"),
    ("postal_address", "P.O. Box 123", "P.O. Box 123", "ADDRESS"),
    ("postal_address", "London SW1A 1AA", "SW1A 1AA", "ADDRESS"),
    ("postal_address", "Lindenstraße 12", "Lindenstraße 12", "ADDRESS"),
    ("postal_address", "San Jose, CA 95110", "CA 95110", "ADDRESS"),
    ("handle", "ask @jane_doe42 about it", "@jane_doe42", "ACCOUNT"),
    ("labelled", "login user_id=4711 ok", "4711", "ACCOUNT"),
    ("labelled", "{'password': 'hunter2', ", "hunter2", "SECRET"),
    ("labelled", '{"first_name": "Jo, cut off', "Jo, cut off", "PERSON"),
    ("labelled", r"log: {\"first_name\": \"Zbigniew\", \"n\": 1}", "Zbigniew", "PERSON"),
    ("labelled", r"log: {\\\"password\\\":\\\"xq77zz\\\"}", "xq77zz", "SECRET"),
    ("labelled", "my password is hunter2", "hunter2", "SECRET"),
    ("labelled", "<surname>Doe</surname>", "Doe", "PERSON"),
    ("labelled", "Name: Jane Doe\nAge: 7", "Jane Doe", "PERSON"),
]

LEFT = [
    "The table is for 2 people on 2019-03-08 at 11:30 for $1,200.",
    "Between 2019-03-08 and 2019-03-11, from 17:00 until 18:30, 4.5 stars, 12,345,678 views",
    "It runs from 1999-2004 and costs 24344.68 or 1,000,000 in 2019",
    "2019-03-08 11:30 to 2019-03-09 12:30, 03/08/2019 9:15, 20190308",
    "created 1700000000, updated 1700000000123",
    "version 1.2.3 of node.js in main.py, see README.md",
    "My name is not important. I am looking for a place. This is it.",
    "Can you give me the address of this restaurant? My password is wrong.",
    "It is a 5 minute walk, 2 blocks down the road and 3 miles away",
    "http://localhost:8080/ and 127.0.0.1 and ::1",
    "@dataclass\nclass A: pass  # @property",
    "The restaurant name is: Bird Dog",
    "He said: no. Time: 11:30. Total = 12",
    "email: none, name: unknown",
    "ok, in it.is this? yes.no",
    "",
    " ",
]


@cache
def engine() -> PatternEngine:
    return PatternEngine()


@pytest.mark.parametrize(
    ("recogniser", "text", "value", "kind"), FOUND, ids=[f"{r}-{v[:20]}" for r, _, v, _ in FOUND]
)
def test_finds(recogniser: str, text: str, value: str, kind: str) -> None:
    found = {(text[f.start : f.end], f.kind) for f in engine().find(text) if f.score >= MIN_SCORE}
    assert (value, kind) in found
    best = merge([f for f in engine().find(text) if f.score >= MIN_SCORE])
    assert any(value in text[f.start : f.end] for f in best)


@pytest.mark.parametrize("text", LEFT)
def test_leaves(text: str) -> None:
    assert [f.kind for f in engine().find(text) if f.score >= MIN_SCORE] == []


def test_every_recogniser_is_tested() -> None:
    assert {recogniser for recogniser, *_ in FOUND} == {build().name for build in ALL}


def test_kinds_are_catalogued() -> None:
    assert {f.kind for _, text, *_ in FOUND for f in engine().find(text)} <= set(KINDS)


def test_findings_are_sorted_and_inside() -> None:
    text = " ".join(text for _, text, *_ in FOUND)
    found = list(engine().find(text))
    assert [f.start for f in found] == sorted(f.start for f in found)
    assert all(0 <= f.start < f.end <= len(text) and 0 < f.score <= 1 for f in found)
    assert found == list(engine().find(text))


def test_merged_findings_do_not_overlap_and_cover_all() -> None:
    text = " ".join(text for _, text, *_ in FOUND)
    found = list(engine().find(text))
    merged = merge(found)
    assert all(a.end <= b.start for a, b in pairwise(merged))
    for finding in found:
        assert any(m.start <= finding.start and finding.end <= m.end for m in merged)


def test_an_e_mail_address_in_a_web_address_goes_with_all_of_it() -> None:
    text = "https://x.org/?u=jane@example.com&t=1"
    (merged,) = merge(list(engine().find(text)))
    assert (merged.start, merged.end) == (0, len(text))


HOSTILE = [
    "a" * 200_000 + "@",
    "@" * 20_000,
    "1" * 50_000,
    "1 " * 50_000,
    "a=" * 50_000,
    "name: " * 20_000,
    "a.b" * 50_000,
    "(" * 50_000,
    "<a>" * 20_000,
    "Dr. A " * 20_000,
    "1 A " * 20_000,
    "eyJ" * 20_000,
    "-----BEGIN PRIVATE KEY-----" * 3_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:12] for text in HOSTILE])
def test_hostile_texts_take_seconds_not_hours(text: str) -> None:
    """Linear in the text: 100 KB and more of what a pattern likes best. Quadratic would be minutes."""
    import time

    start = time.process_time()
    engine().find(text)
    assert time.process_time() - start < 20
