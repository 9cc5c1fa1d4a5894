"""Any JSON under the strict policy: key names, numbers, keys, structure, and what is carried over."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import Any

import pytest

from veilstream.contracts import Finding, RootKey
from veilstream.detection import PatternEngine
from veilstream.errors import RecordInvalid
from veilstream.protection import Protector, Structure, Tokens, load_policy
from veilstream.protection.policy import parse_policy

TOKENS = Tokens(RootKey("tenant/acme", 1, b"k" * 32))
PLAIN = Structure()


@cache
def strict() -> Protector:
    return Protector(PatternEngine(), load_policy("strict"))


def protect(value: Any, structure: Structure = PLAIN, **units: str) -> Any:
    return strict().value(value, structure=structure, tokens=TOKENS, declared=units)


def account(value: str) -> str:
    return f"<ACCOUNT:{TOKENS.entity('account', value)}>"


def test_patterns_in_texts() -> None:
    assert protect(["write to jane@example.com or 408-971-8523"]) == [
        "write to <EMAIL_ADDRESS> or <PHONE_NUMBER>"
    ]


def test_key_names_and_what_lies_below_them() -> None:
    value = {
        "email": "jane at home",
        "address": {"line1": "Somewhere", "extra": ["near", "the pond"]},
        "user": {"name": "Jo"},
        "hotel": {"name": "Ritz"},
        "hotel_name": "Ritz",
        "city": "Paris",
    }
    assert protect(value) == {
        "email": "<EMAIL_ADDRESS>",
        "address": {"line1": "<ADDRESS>", "extra": ["<ADDRESS>", "<ADDRESS>"]},
        "user": {"name": "<PERSON>"},
        "hotel": {"name": "Ritz"},
        "hotel_name": "Ritz",
        "city": "Paris",
    }


def test_accounts_become_tokens_that_join_across_records_and_spellings() -> None:
    one, two = protect({"user_id": "Jane_42"}), protect({"account": {"accountId": "jane-42"}})
    assert one["user_id"] == two["account"]["accountId"] == account("jane 42")
    other = Tokens(RootKey("tenant/other", 1, b"o" * 32))
    three = strict().value({"user_id": "Jane_42"}, structure=PLAIN, tokens=other)
    assert three != one


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"ssn": 123456789}, {"ssn": "<US_SSN>"}),
        ({"zip": 95110}, {"zip": "<ADDRESS>"}),
        ({"lat": 37.7749}, {"lat": "<COORDINATES>"}),
        ({"x": 4111111111111111}, {"x": "<CREDIT_CARD>"}),
        ({"x": 4111111111111111.0}, {"x": "<CREDIT_CARD>"}),
        ({"password": True, "email": None}, {"password": True, "email": None}),
        ({"x": 12, "y": 1.5, "z": 1700000000}, {"x": 12, "y": 1.5, "z": 1700000000}),
        ({"people": 2, "passengers": 3}, {"people": 2, "passengers": 3}),
        ({"passengers": "2", "user": "user"}, {"passengers": "2", "user": "user"}),
        (
            {"email": "", "name": "n/a", "phone": "dontcare"},
            {"email": "", "name": "n/a", "phone": "dontcare"},
        ),
    ],
)
def test_scalars(value: Any, expected: Any) -> None:
    protected = protect(value)
    assert protected == expected
    assert repr(protected) == repr(expected)  # True is not 1


def test_a_key_that_is_personal_data() -> None:
    assert protect({"jane@example.com": 1, "joe@example.com": 2}) == {
        "<EMAIL_ADDRESS>": 1,
        "<EMAIL_ADDRESS>#2": 2,
    }


def test_json_in_strings_and_in_keys() -> None:
    assert protect({"a": '{"password": "hunter2", "n": 1}'}) == {"a": '{"password":"<SECRET>","n":1}'}
    assert protect({"a": '"{\\"email\\": \\"x y\\"}"'}) == {"a": '"{\\"email\\":\\"<EMAIL_ADDRESS>\\"}"'}
    assert protect({'{"email": "x y"}': 1}) == {'{"email":"<EMAIL_ADDRESS>"}': 1}


def test_a_key_twice_in_a_string_cannot_hide_the_first() -> None:
    text = '{"password": "hunter2", "password": ""}'
    assert "hunter2" not in protect([text])[0]


def test_pairs_and_tables() -> None:
    assert protect({"key": "user.email", "value": {"stringValue": "x y"}}) == {
        "key": "user.email",
        "value": {"stringValue": "<EMAIL_ADDRESS>"},
    }
    assert protect({"name": "city", "value": "Rome"}) == {"name": "city", "value": "Rome"}
    forms = [
        {"question": "What is your first name?", "answer": "Zbigniew"},
        {"title": "First name", "value": "Zbyszek"},
        {"id": "first_name", "value": "Zbych"},
    ]
    assert [next(reversed(form.values())) for form in protect(forms)] == ["<PERSON>"] * 3
    assert protect([["password", "hunter2"], ["city", "Rome"]]) == [
        ["password", "<SECRET>"],
        ["city", "Rome"],
    ]
    assert protect({"columns": ["id", "email"], "rows": [[7, "x y"], [8, "z"]]}) == {
        "columns": ["id", "email"],
        "rows": [[7, "<EMAIL_ADDRESS>"], [8, "<EMAIL_ADDRESS>"]],
    }


def test_a_word_for_a_person_holds_for_a_name_and_not_for_a_sentence() -> None:
    said = "I would like to book a table for two"
    assert protect({"passenger": "Amelia Jones", "user": said}) == {"passenger": "<PERSON>", "user": said}


def test_declared_values_are_carried_over() -> None:
    value = {
        "call": {"recipient_account_name": "Amelia", "amount": 12},
        "said": "Send it to Amelia, please. AMELIA's account. Ameliaville stays.",
        "amelia": 1,
    }
    token = account("amelia")
    assert protect(value) == {
        "call": {"recipient_account_name": token, "amount": 12},
        "said": f"Send it to {token}, please. {token}'s account. Ameliaville stays.",
        token: 1,
    }


def test_parts_of_a_persons_name_are_carried_and_those_of_a_firm_are_not() -> None:
    value = {"a": {"full_name": "Amelia de Jong"}, "b": {"doctor_name": "Smile Dental Care"}}
    said = "amelia and Mrs Jong went de luxe to Smile Dental Care for dental care"
    assert protect({**value, "said": said})["said"] == (
        "<PERSON> and Mrs <PERSON> went de luxe to <PERSON> for dental care"
    )


def test_common_words_and_small_numbers_are_not_carried() -> None:
    value = {
        "username": "search",
        "pin": 1234,
        "first_name": "Will",
        "said": "search 1234, will you? Will did.",
    }
    assert protect(value)["said"] == "search 1234, will you? <PERSON> did."


def test_numbers_are_carried_whatever_separates_them() -> None:
    value = {
        "account_number": "12-3456-78",
        "said": "it is 12345678, or 12 3456 78, not 123456789",
        "n": 12345678,
    }
    assert protect(value) == {
        "account_number": "<BANK_ACCOUNT>",
        "said": "it is <BANK_ACCOUNT>, or <BANK_ACCOUNT>, not 123456789",
        "n": "<BANK_ACCOUNT>",
    }


def test_what_a_pattern_found_is_carried_too() -> None:
    value = ["My name is Xiomara Quist.", "Thanks, xiomara!"]
    assert protect(value) == ["My name is <PERSON>.", "Thanks, <PERSON>!"]


def test_scripts_without_spaces() -> None:
    assert protect({"name": "王小明", "said": "请联系王小明。"})["said"] == "请联系<PERSON>。"


def test_the_records_own_subject_and_conversation() -> None:
    value = {"user_id": "u1", "x": "u1", "said": "I am U1 in c-77", "n": 5, "u1": "c-77"}
    conversation = f"<CONVERSATION:{TOKENS.entity('conversation', 'c-77')}>"
    assert protect(value, SUBJECT="u1", CONVERSATION="c-77") == {
        "user_id": "<SUBJECT>",
        "x": "<SUBJECT>",
        "said": f"I am <SUBJECT> in {conversation}",
        "n": 5,
        "<SUBJECT>": conversation,
    }
    assert protect({"n": 42, "m": 421}, SUBJECT="42") == {"n": "<SUBJECT>", "m": 421}
    assert protect([-42, 42.0, 42.5, 420], SUBJECT="42") == ["<SUBJECT>", "<SUBJECT>", 42.5, 420]


def test_nothing_is_carried_from_one_record_to_the_next() -> None:
    protect({"username": "zyxwv"})
    assert protect(["zyxwv"]) == ["zyxwv"]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("Zoë Quist", "Zoe\u0308 is here"),
        ("Zoe\u0308 Quist", "zoë is here"),
        ("Xiomara Quist", "Xio\u200bmara is here"),
        ("Xiomara Quist", "Ｘｉｏｍａｒａ is here"),
        ("Xiomara Quist", "Xiomara\u00a0Quist is here"),
    ],
)
def test_another_spelling_in_unicode_is_carried_too(declared: str, said: str) -> None:
    assert protect({"full_name": declared, "said": said})["said"] == "<PERSON> is here"


def test_structure() -> None:
    structure = Structure(words=("calls[].name?type=tool_call",), fixed=("role",))
    value = {
        "role": "Assistant",
        "calls": [{"type": "tool_call", "name": "FindCar"}, {"type": "other", "name": "Jane"}],
        "username": "assistant",
        "said": "assistant",
    }
    assert protect(value, structure) == {
        "role": "Assistant",
        "calls": [{"type": "tool_call", "name": "FindCar"}, {"type": "other", "name": "<PERSON>"}],
        "username": account("assistant"),
        "said": account("assistant"),
    }
    assert protect({"role": "kilo", "username": "kilo"}, structure)["role"] == account("kilo")
    ids = Structure(ids=("tenant",))
    assert protect({"tenant": "acme", "username": "acme"}, ids)["tenant"] == "acme"
    assert protect({"tenant": "Mr Acme", "full_name": "Mr Acme"}, ids)["tenant"] == "<PERSON>"
    assert protect({"role": "jane@example.com"}, structure) == {"role": "<EMAIL_ADDRESS>"}


def test_binary_parts_whole_and_files_as_tokens() -> None:
    value = [
        {"type": "blob", "content": "not even base64"},
        {"type": "file", "file_id": "file-9"},
        {"type": "uri", "uri": "gs:bucket/x"},
    ]
    blob, file, uri = protect(value)
    assert blob["content"] == "<BLOB>"
    assert re.fullmatch(r"<FILE:[a-z2-7]{24}>", file["file_id"])
    assert uri["uri"] == "<URL>"


def test_placeholders_are_left_alone_and_do_not_hide_what_is_beside_them() -> None:
    token = account("x")
    assert protect({"email": "<EMAIL_ADDRESS>", "user_id": token, "said": "<PERSON>"}) == {
        "email": "<EMAIL_ADDRESS>",
        "user_id": token,
        "said": "<PERSON>",
    }
    assert protect({"email": "<EMAIL_ADDRESS> x", "password": "<NOKIND>"}) == {
        "email": "<EMAIL_ADDRESS>",
        "password": "<SECRET>",
    }
    assert protect(["<PERSON>jane@example.com<PERSON>"]) == ["<PERSON><EMAIL_ADDRESS><PERSON>"]


def test_a_policy_that_keeps_and_one_that_does_not_carry() -> None:
    text = 'format = 1\nname = "x"\npropagate = false\n[kinds]\nURL = "keep"\n'
    protector = Protector(PatternEngine(), parse_policy(text))
    value = {"username": "kilo", "said": "kilo https://x.org/a jane@x.org"}
    assert protector.value(value, structure=PLAIN, tokens=TOKENS) == {
        "username": "<ACCOUNT>",
        "said": "kilo https://x.org/a <EMAIL_ADDRESS>",
    }
    kept = parse_policy('format = 1\nname = "x"\n[[rules]]\npath = "email"\naction = "keep"\n')
    assert Protector(PatternEngine(), kept).value(
        {"email": "j@x.org", "e": "k@x.org"}, structure=PLAIN, tokens=TOKENS
    ) == {"email": "j@x.org", "e": "<EMAIL_ADDRESS>"}


def test_replacements_are_counted_by_kind() -> None:
    counted: list[str] = []
    protector = Protector(PatternEngine(), load_policy("strict"), count=counted.append)
    protector.value({"email": "x", "said": "j@x.org"}, structure=PLAIN, tokens=TOKENS)
    assert counted == ["EMAIL_ADDRESS", "EMAIL_ADDRESS"]


class Broken:
    """A detector that fails with the text in its message."""

    version = "broken"

    def find(self, text: str) -> list[Finding]:
        raise RuntimeError(text)


def test_a_failing_engine_leaks_nothing() -> None:
    protector = Protector(Broken(), load_policy("strict"))
    with pytest.raises(RecordInvalid, match="unprotectable") as caught:
        protector.value(["Jane's secret"], structure=PLAIN, tokens=TOKENS)
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_too_deep_is_refused() -> None:
    value: Any = "x"
    for _ in range(70):
        value = [value]
    with pytest.raises(RecordInvalid, match="too_deep"):
        protect(value)


def test_the_input_is_not_changed() -> None:
    value = {"email": "x", "l": [{"name": "Jo"}], "s": "j@x.org"}
    before = repr(value)
    protect(value)
    assert repr(value) == before


def test_ten_thousand_values_that_begin_alike_take_seconds() -> None:
    """Linear in the record: a comparison of all pairs would take minutes."""
    rows = [{"user_id": f"user-{n:05d}", "note": f"see user-{n:05d}"} for n in range(5_000)]
    start = time.process_time()
    protected = protect(rows)
    assert time.process_time() - start < 30
    assert protected[4999]["note"] == f"see {account('user 04999')}"
