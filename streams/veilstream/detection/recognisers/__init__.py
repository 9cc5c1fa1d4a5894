"""One recogniser a file. To add one: the file with a `build()`, a row in `ALL`, a test.

Where Presidio has the pattern, the file says how we use it; where it has none, or one that is not linear or
not precise enough on agents' logs, the file has ours and says why."""

from __future__ import annotations

from collections.abc import Callable

from veilstream.detection.base import Recogniser
from veilstream.detection.recognisers import (
    birth_date,
    blob,
    credit_card,
    crypto,
    email,
    handle,
    iban,
    ip,
    labelled,
    mac,
    person,
    phone,
    postal_address,
    secret,
    uk_nhs,
    uk_nino,
    url,
    us_bank_number,
    us_driver_license,
    us_itin,
    us_mbi,
    us_passport,
    us_ssn,
)

__all__ = ["ALL", "build"]

ALL: tuple[Callable[[], Recogniser], ...] = (
    email.build,
    phone.build,
    credit_card.build,
    iban.build,
    us_ssn.build,
    us_itin.build,
    us_passport.build,
    us_driver_license.build,
    us_bank_number.build,
    us_mbi.build,
    uk_nhs.build,
    uk_nino.build,
    ip.build,
    mac.build,
    url.build,
    crypto.build,
    secret.build,
    blob.build,
    birth_date.build,
    person.build,
    postal_address.build,
    handle.build,
    labelled.build,
)


def build() -> list[Recogniser]:
    """Every recogniser, ready to use."""
    return [make() for make in ALL]
