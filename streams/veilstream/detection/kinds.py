"""Every kind of personal data that can be found, and the placeholders' names. `docs/policy.md` lists them.

Names are Presidio's where it has one.
"""

from __future__ import annotations

__all__ = ["KINDS"]

KINDS: dict[str, str] = {
    "ACCOUNT": "user, customer or account name or id; handle; login",
    "ADDRESS": "postal address, or a part that locates a person: street, postcode",
    "BANK_ACCOUNT": "account, routing or sort code number",
    "BLOB": "binary content: image, audio, document, long base64",
    "CONVERSATION": "the conversation's id",
    "COORDINATES": "latitude, longitude",
    "CREDIT_CARD": "payment card number",
    "CRYPTO": "wallet address",
    "DATE_OF_BIRTH": "date of birth",
    "DEVICE": "device, session, advertising or cookie id",
    "DRIVER_LICENSE": "driving licence number",
    "EMAIL_ADDRESS": "e-mail address",
    "FILE": "id of an uploaded file",
    "HEALTH_ID": "health insurance or medical record number",
    "IBAN_CODE": "international bank account number",
    "IP_ADDRESS": "IPv4 or IPv6 address",
    "MAC_ADDRESS": "hardware address",
    "NATIONAL_ID": "tax, social security or identity number of any country",
    "PASSPORT": "passport number",
    "PERSON": "a person's name",
    "PHONE_NUMBER": "telephone or fax number",
    "SECRET": "password, API key, token, private key",
    "SUBJECT": "the person whom the record is about",
    "UK_NHS": "NHS number",
    "UK_NINO": "UK National Insurance number",
    "URL": "web address",
    "US_BANK_NUMBER": "US bank account number",
    "US_DRIVER_LICENSE": "US driver license number",
    "US_ITIN": "US taxpayer number",
    "US_MBI": "US Medicare beneficiary number",
    "US_PASSPORT": "US passport number",
    "US_SSN": "US social security number",
    "VEHICLE": "number plate or vehicle identification number",
}
