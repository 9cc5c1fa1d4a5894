"""Key names that speak for themselves, and those that do not."""

from __future__ import annotations

import pytest

from veilstream.detection import KINDS, kind_of_names, person_word
from veilstream.detection.names import words_of

SPEAKING = {
    "EMAIL_ADDRESS": """
        email e_mail userEmail email-address user.email EMAIL contactEmails primary_email email2
    """,
    "PERSON": """
        name first_name lastName full-name recipient_name passenger_name contact.name patientName
        surname stylist_name therapist_name doctor_name billing_name guest_names
        ｆｉｒｓｔ＿ｎａｍｅ
    """,
    "ACCOUNT": """
        user_id userid userId account_id customer_id account_name recipient_account_name username
        user_name login handle screen_name nickname enduser.id user.id display_name
    """,
    "DATE_OF_BIRTH": """
        dob date_of_birth dateOfBirth birthday birth_date
    """,
    "ADDRESS": """
        address street_address home_address postal_address billingAddress zip zip_code postcode
        address_line_1 addressLine2 address_of_location
    """,
    "PHONE_NUMBER": """
        phone phone_number phoneNumber mobile tel fax work_phone contact_number
    """,
    "US_SSN": """
        ssn social_security_number
    """,
    "NATIONAL_ID": """
        tax_id national_id
    """,
    "PASSPORT": """
        passport passport_number passportNo
    """,
    "DRIVER_LICENSE": """
        driver_license driversLicenseNumber
    """,
    "IBAN_CODE": """
        iban IBAN
    """,
    "BANK_ACCOUNT": """
        account_number routing_number sort_code
    """,
    "CREDIT_CARD": """
        card_number cardNumber credit_card
    """,
    "SECRET": """
        password pin cvv secret token api_key apiKey authorization cookie access_token X-Api-Key
        Set-Cookie client_secret
    """,
    "IP_ADDRESS": """
        ip ip_address client.address clientIp x-forwarded-for
    """,
    "MAC_ADDRESS": """
        mac mac_address
    """,
    "COORDINATES": """
        lat lon latitude longitude coordinates gps
    """,
    "DEVICE": """
        device_id session_id sessionId
    """,
    "VEHICLE": """
        license_plate vin
    """,
    "HEALTH_ID": """
        medical_record_number mrn
    """,
    "CRYPTO": """
        wallet_address
    """,
}

SILENT = """
    restaurant_name hotel_name song_name event_name file_name tool_name service.name hostName
    model_name city date time price rating email_subject server.address phone_type prompt_tokens
    max_tokens totalTokens order_id booking_id status id type role content text description title
    country location currency account_type emailed nameless gen_ai.agent.name gen_ai.tool.name
    category tag genre party_size number_of_seats
"""


@pytest.mark.parametrize(("name", "kind"), [(n, k) for k, names in SPEAKING.items() for n in names.split()])
def test_speaks(name: str, kind: str) -> None:
    assert kind_of_names((name,)) == kind


@pytest.mark.parametrize("name", SILENT.split())
def test_is_silent(name: str) -> None:
    assert kind_of_names((name,)) is None


def test_kinds_are_catalogued() -> None:
    assert set(SPEAKING) <= set(KINDS)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("line1", "address"), "ADDRESS"),  # a name holds for all below it
        (("stringValue", "user.email", "value"), "EMAIL_ADDRESS"),
        (("email", "name"), "EMAIL_ADDRESS"),  # the nearest first
        (("name", "user"), "PERSON"),
        (("name", "hotel"), None),  # the thing's own name
        (("name", "tools", "attributes"), None),
        (("restaurant_name", "address"), None),  # decided by the nearest
        (("name", "arguments", "parts"), "PERSON"),
        (("name", "data"), "PERSON"),  # in doubt it is personal
        (("x", "y"), None),
        ((), None),
        (("",), None),
        (("e" * 5000,), None),
        (("2019", "\N{SNOWMAN}"), None),
    ],
)
def test_nearest_first(names: tuple[str, ...], kind: str | None) -> None:
    assert kind_of_names(names) == kind


def test_words_for_persons() -> None:
    assert all(person_word(name) for name in ("passenger", "patient", "recipients", "sender", "user"))
    assert not any(person_word(name) for name in ("hotel", "first", "billing", "", "personal"))


def test_splitting() -> None:
    assert words_of("HTTPServerName") == ("http", "server", "name")
    assert words_of("user-emails.primary_2") == ("user", "email", "primary", "2")
    assert words_of("addresses") == ("address",)
    assert words_of("status") == ("status",)
