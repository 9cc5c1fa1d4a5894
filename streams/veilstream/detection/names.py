"""Key names that speak for themselves: `email`, `user.email`, `recipientAccountName`, `date-of-birth` …

A name is split into lower-case words (camel case, snake, kebab, dots, digits); what it ends with decides, so
that `billing_phone_number` is a phone number and `email_subject` is nothing. The longest ending wins, so that
`client.address` is an IP address and `server.address` nothing.

`<thing>_name` is a person only where the thing is a person (`passenger_name`, not `hotel_name`), and a bare
`name` only where the key above is not a thing (`{"hotel": {"name": …}}`). Where in doubt, it is personal.

Not here, on purpose: places (`city`), ages, genders, order and booking numbers, organisations.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from veilstream.detection.words import word_set

__all__ = ["kind_of_names", "person_word", "words_of"]

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_LONGEST_NAME = 96  # a longer key is a text: it does not speak for itself

_BY_KIND = {
    "ACCOUNT": """
        account_id account_name account_holder_id acct_id customer_id cust_id client_id user_id uid
        userid user_name username user_login login login_name login_id logon screen_name display_name
        nickname nick handle user_handle twitter instagram facebook linkedin telegram skype discord
        github_user github_login member_id patient_id employee_id employee_number student_id
        student_number person_id people_id subject_id enduser_id end_user_id profile_id profile_name
        contact_id subscriber_id guest_id passenger_id driver_id owner_id author_id sender_id
        recipient_id creator_id assignee_id worker_id staff_id badge_number badge_id loyalty_number
        frequent_flyer_number frequent_flyer known_traveler_number membership_number member_number
        applicant_id candidate_id payer_id payee_id beneficiary_id actor_id principal_id
        user_principal_name upn sid screenname displayname accountname accountid customerid user_uuid
        user_guid
    """,
    "ADDRESS": """
        address addr street street_address street_name street_number house_number address_line
        address_of_location zip zip_code zipcode postal_code postalcode postcode post_code plz pincode
        pin_code po_box mailing_address home_address residence
    """,
    "BANK_ACCOUNT": """
        account_number account_no account_num acct_number acct_no acct bank_account bank_account_number
        routing_number routing_no aba_number sort_code bank_number accountnumber
    """,
    "COORDINATES": """
        lat lon lng latitude longitude lat_lng latlng lat_long latlong coordinate coord geo_point
        geopoint gps geolocation geo_location geohash
    """,
    "CREDIT_CARD": """
        card_number card_no card_num credit_card credit_card_number debit_card debit_card_number
        cc_number ccnum cc_num payment_card cardnumber creditcard card_pan
    """,
    "CRYPTO": "wallet_address btc_address bitcoin_address eth_address wallet",
    "DATE_OF_BIRTH": "dob date_of_birth birth_date birthdate birthday birth_day date_birth born bday",
    "DEVICE": """
        device_id deviceid session_id sessionid advertising_id ad_id idfa idfv gaid imei imsi meid
        serial_number cookie_id visitor_id anonymous_id android_id device_uuid machine_id client_session
        fingerprint browser_fingerprint installation_id device_name device_token
    """,
    "DRIVER_LICENSE": """
        driver_license drivers_license driver_licence drivers_licence driving_licence driving_license
        driver_license_number drivers_license_number driving_licence_number license_number
        licence_number dl_number driver_licence_number drivers_licence_number
    """,
    "EMAIL_ADDRESS": "email e_mail email_address mail_address email_id email_addr e_mail_address mailbox "
    "mail emailaddress",
    "HEALTH_ID": """
        medical_record_number mrn nhs_number insurance_number insurance_id policy_number health_id
        medicare_number medicaid_number health_card_number patient_number insurance_member_id policy_id
    """,
    "IBAN_CODE": "iban iban_code iban_number",
    "IP_ADDRESS": """
        ip ip_address ip_addr ipaddress ipv4 ipv6 client_ip remote_ip remote_addr client_address
        source_address source_ip peer_ip peer_address x_forwarded_for forwarded_for user_ip
    """,
    "MAC_ADDRESS": "mac mac_address mac_addr hardware_address",
    "NATIONAL_ID": """
        tax_id tax_number tin itin ein vat_id national_id national_id_number nin nino identity_number
        id_number id_card id_card_number citizen_id aadhaar aadhar pan_number cpf curp sin
        personal_number personnummer national_insurance_number government_id taxpayer_id taxid
    """,
    "PASSPORT": "passport passport_number passport_no passport_id passportnumber",
    "PERSON": """
        name first_name last_name middle_name given_name family_name full_name surname maiden_name
        forename firstname lastname fullname fname lname legal_name preferred_name birth_name
        personal_name your_name my_name cardholder card_holder account_holder name_on_card holder_name
        name_of_person addressee salutation_name attention_to signed_by mother_maiden_name initials
        person people
    """,
    "PHONE_NUMBER": """
        phone phone_number phone_no phone_num telephone telephone_number tel mobile mobile_number
        mobile_no mobile_phone cell cell_phone cellphone cell_number fax fax_number whatsapp msisdn
        contact_number caller_id callback_number landline phonenumber mobilenumber
    """,
    "SECRET": """
        password passwd pwd passphrase passcode pass_phrase pin pin_number cvv cvc cvv2 csc card_code
        security_code secret client_secret secret_key api_key apikey access_key access_token
        refresh_token id_token auth_token session_token bearer_token token jwt private_key signing_key
        encryption_key authorization proxy_authorization cookie set_cookie credential otp one_time_code
        verification_code mfa_code totp recovery_code security_answer x_api_key connection_string dsn
        webhook_secret shared_secret auth pass
    """,
    "US_SSN": "ssn social_security social_security_number ssn_last4 ssn_last_4 social_security_no",
    "VEHICLE": "license_plate licence_plate number_plate plate_number vin vehicle_registration",
}

_NOTHING = """
    server_address memory_address base_address contract_address web_address host_address bind_address
    listen_address destination_address page_token next_page_token next_token continuation_token stop_token
    eos_token bos_token pad_token token_type token_count max_token total_token prompt_token
    completion_token input_token output_token cached_token reasoning_token min_token new_token usage_token
    auth_type account_type mail_type phone_type phone_model email_type email_count app_password_policy
    idempotency_token sync_token cursor_token sin_cos
"""

_PERSON_WORDS = word_set(
    """
    user customer client recipient sender passenger patient contact guest owner employee doctor dentist
    stylist therapist physician nurse lawyer attorney driver rider traveler traveller member student
    teacher parent child spouse husband wife mother father son daughter brother sister partner holder
    cardholder beneficiary payer payee buyer seller borrower applicant candidate attendee participant
    subscriber victim witness assignee reporter manager supervisor colleague friend requester requestor
    caller callee visitor signer signatory insured policyholder person individual resident occupant
    tenant_contact billing shipping delivery emergency first last middle given family full maiden legal
    preferred real birth personal donor consignee consignor invitee organizer organiser host_person
    speaker_person interviewer interviewee counselor counsellor tutor barber hairdresser surgeon
    specialist practitioner provider_contact agent_contact author creator commenter reviewer complainant
    defendant plaintiff respondent landlord lessee lessor mentor coach trainer babysitter caregiver
    relative kin guardian
    """
)
"""Words before `_name` that make it a person's, and that name a person where they are the key itself."""

_ACCOUNT_WORDS = word_set("user account login screen display profile nick acct twitter")

_THINGS = word_set(
    """
    agent tool model function service file restaurant hotel song movie event product item company
    organization organisation org team project city country state region venue theater theatre store shop
    brand airline album category tag workspace repo repository branch package module class method schema
    table column database host server queue topic cluster namespace pod container image environment env
    app application plugin playlist genre course book place location station airport property attraction
    artist band street car vehicle step task job workflow pipeline node span trace metric field feature
    flag role group permission policy plan dataset index bucket folder directory library sdk exporter
    scope resource operation action rule template prompt chain llm deployment engine system os browser
    platform dish menu cuisine game sport league currency language tool_call span_name tools functions
    department college
    """
)
"""A bare `name` under one of these is the thing's."""

_QUALIFIERS = word_set(
    """
    value text str string raw hash hashed primary secondary home work other alt alternate alternative line 1
    2 3 4 5 6 7 8 9 0 original masked full normalized normalised
    """
)
_ARTICLES = word_set("the your my his her their our a an is and please of for enter user's provide")

_PERSONAL_FIRST = ("person", "people")


def _table() -> dict[tuple[str, ...], str | None]:
    table: dict[tuple[str, ...], str | None] = {}
    for kind, phrases in _BY_KIND.items():
        for phrase in phrases.split():
            table[tuple(phrase.split("_"))] = kind
    for phrase in _NOTHING.split():
        table[tuple(phrase.split("_"))] = None
    return table


_TABLE = _table()
_LONGEST = max(map(len, _TABLE))
_UNDECIDED = object()


@lru_cache(maxsize=8192)
def words_of(name: str) -> tuple[str, ...]:
    """A key's words, lower case and in the singular: `userEmails` gives ("user", "email")."""
    if len(name) > _LONGEST_NAME:
        return ()
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)  # full-width letters are letters
    return tuple(_singular(word.lower()) for word in _WORDS.findall(name))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("sses"):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "dns", "gps")):
        return word[:-1]
    return word


def kind_of_names(names: tuple[str, ...]) -> str | None:
    """The kind that the nearest speaking name declares; None where none speaks.

    Args:
        names: key names above a value, nearest first. A name holds for everything below it:
            `{"address": {"line1": …}}` declares an address.
    """
    for position, name in enumerate(names):
        kind = _kind(name, names[position + 1] if position + 1 < len(names) else "")
        if kind is not _UNDECIDED:
            return kind  # type: ignore[return-value]  # a kind or None, now that it is decided
    return None


def person_word(name: str) -> bool:
    """Whether a key names a person, so that a short value right under it is theirs: `{"passenger": …}`."""
    words = words_of(name)
    return bool(words) and words[-1] in _PERSON_WORDS and words[-1] not in _SOFT_EXCEPTIONS


# These go before `_name`, but alone they say something else: `{"billing": "monthly"}`, `{"first": 10}`.
_SOFT_EXCEPTIONS = word_set(
    """
    billing shipping delivery emergency first last middle given family full maiden legal preferred real
    birth personal child holder contact partner specialist client reviewer coach trainer member owner
    """
)


@lru_cache(maxsize=8192)
def _kind(name: str, above: str) -> object:
    words = words_of(name)
    if not words:
        return _UNDECIDED
    while words and words[0] in _ARTICLES:
        words = words[1:]
    while len(words) > 1 and words[-1] in _QUALIFIERS:
        words = words[:-1]
    if not words:
        return _UNDECIDED
    # `nothing` needs the whole ending, and so does the rest: longest first.
    for length in range(min(_LONGEST, len(words)), 0, -1):
        ending = words[-length:]
        if ending not in _TABLE:
            continue
        before = words[-length - 1] if len(words) > length else ""
        if ending == ("name",):
            return _kind_of_name(before, above)
        return _TABLE[ending]
    # `address_of_location`, `name_of_passenger`: the head comes first.
    if len(words) > 2 and words[1] == "of":
        return _kind(words[0], "_".join(words[2:])) if words[0] != "name" else _kind_of_name(words[-1], "")
    return _UNDECIDED


def _kind_of_name(before: str, above: str) -> object:
    """`<before>_name`, or a bare `name` below the key `above`."""
    if before:
        if before in _ACCOUNT_WORDS:
            return "ACCOUNT"
        return "PERSON" if before in _PERSON_WORDS else None
    above_words = words_of(above)
    if above_words and above_words[-1] in _THINGS:
        return None
    return "PERSON"
