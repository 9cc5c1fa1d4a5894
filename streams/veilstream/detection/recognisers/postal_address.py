"""Postal addresses: house number, street and what follows; post office boxes; US ZIP and UK postcodes.

Ours; Presidio leaves addresses to a language model (and stock recall on them is 10 %). A firm's address looks
like a person's, so it goes too. What is not found: addresses without a street word ("Calle", "Weg" are in).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.words import COMMON, word_set

__all__ = ["build"]

_LONG = (
    "Street|Avenue|Road|Boulevard|Drive|Lane|Court|Place|Square|Terrace|Parkway|Highway|Circle|Trail|Alley|"
    "Crescent|Close|Mews|Row|Expressway|Plaza|Turnpike|Freeway|Broadway|Embarcadero|Heights|Gardens|Walk|Way|Mall|"
    "Center|Centre|Loop|Route"
)
_SHORT = "St|Ave|Av|Rd|Blvd|Dr|Ln|Ct|Pl|Sq|Ter|Pkwy|Hwy|Cir|Trl|Expy|Tpke|Fwy"
_SIDE = "North|South|East|West|Northeast|Northwest|Southeast|Southwest|NE|NW|SE|SW|N|S|E|W"
_UNIT = r"(?:,?\s{1,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|#)\.?\s?#?[\w\-]{1,8})?"
_TOWN = r"(?:,\s{0,2}[A-Z][\w.'’\-]{1,24}(?:\s[A-Z][\w.'’\-]{1,24}){0,3})?"
_ZIP = r"(?:,?\s{1,2}[A-Z]{2}\.?\s{1,2}\d{5}(?:-\d{4})?\b)?"
_PART = r"(?:[A-Z0-9][\w.'’\-]{0,24}|de|of|the|la|las|los|del|und)"
_US = re.compile(
    rf"(?<![\w.,:$\-])\d{{1,6}}[A-Za-z]?(?:\s?[\-/]\s?\d{{1,5}})?,?\s{{1,2}}(?:{_PART}\s{{1,2}}){{1,5}}(?:(?:{_LONG})\b|(?:{_SHORT})\b\.?)"
    rf"(?:\s{{1,2}}(?:{_SIDE})\b\.?)?{_UNIT}{_TOWN}{_ZIP}"
)
_AVENUE = re.compile(
    rf"(?<![\w.,:$\-])\d{{1,6}}\s{{1,2}}(?:(?:{_SIDE})\s)?(?:{_LONG})\s(?:of|de|[A-Z0-9])[\w.'’\-]*(?:\s[A-Z][\w.'’\-]*){{0,3}}"
)
_LOWER = re.compile(
    r"(?<![\w.,:$\-])\d{1,6}[a-z]?\s{1,2}((?:[a-z0-9'’\-]{2,24}\s{1,2}){1,3})(?:street|avenue|boulevard|road|lane|parkway|blvd|ave)\b",
    re.IGNORECASE,
)
_EUROPE = re.compile(
    r"(?:\b[A-ZÄÖÜ][\wäöüß\-]{2,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|laan|straat)|\b(?:Calle|Rue|Via|Avenida|Rua|Piazza|Plaza|Quai|Place)\s(?:[\w.'’\-]{1,20}\s?){1,4}),?\s{1,2}\d{1,5}[a-z]?\b"
)
_BOX = re.compile(r"(?i)\bp\.?\s?o\.?\s?box\s{1,2}\d{1,6}\b")
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|"
    "OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
_STATE_ZIP = re.compile(rf"\b(?:{_STATES})\.?,?\s{{1,2}}\d{{5}}(?:-\d{{4}})?\b")
_UK = re.compile(
    r"\b(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKSTUW]|[A-HK-Y]\d[ABEHMNPRVWXY])"
    r" \d[ABD-HJLNP-UW-Z]{2})\b"
)
_SAID = re.compile(
    r"(?i)\b(?:zip|zip ?code|postal ?code|post ?code)\b[\s:=]{0,3}(?:is\s)?"
    r"((?=[\w\-]{0,9}\d)[A-Za-z0-9][A-Za-z0-9\-]{2,8}(?:\s\d[A-Za-z]{2})?)\b"
)
_COUNTED = word_set("minute hour day mile people person ticket block star adult bed room night seat way")


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for pattern in (_US, _AVENUE, _EUROPE, _BOX, _STATE_ZIP, _UK):
            for match in pattern.finditer(text):
                # The full stop of a sentence is not the address's; that of "St." may go either way.
                yield Finding(match.start(), match.start() + len(match[0].rstrip(" .,")), "ADDRESS", 0.6)
        for match in _LOWER.finditer(text):
            words = match[1].lower().split()
            if not any(
                word in COMMON or word.rstrip("s") in _COUNTED for word in words if word not in _SIDES
            ):
                yield Finding(match.start(), match.end(), "ADDRESS", 0.5)
        for match in _SAID.finditer(text):
            yield Finding(match.start(1), match.end(1), "ADDRESS", 0.5)

    return Recogniser(
        "postal_address",
        find,
        "digit",
        re.compile(
            rf"(?i)\b(?:{_LONG}|{_SHORT}|box|zip|post)\b|postal|zipcode|postcode"
            r"|(?:straße|strasse|str\.|weg|platz|allee|gasse|laan|straat|calle|rue|via|avenida|rua|piazza|quai)\b"
            r"|[A-Z]{2}\.?,?\s{1,2}\d{5}|\d [0-9][A-Z]{2}\b|[A-Z] [0-9][A-Z]{2}\b"
        ),
    )


_SIDES = word_set("north south east west main park")
