"""Telephone numbers. A cheap pattern finds candidates; Presidio's recogniser decides on the doubtful ones.

Presidio runs phonenumbers' matcher over the text once for each of eight regions, 65 % of its time. Here the
text is searched once for digits and separators that could be a number. Of those,

* dates, times, decimals and numbers with fewer than seven digits are none;
* `+` and 8–15 digits, and the North American shapes (`408-971-8523`, `(408) 971 8523`), are one at once;
* eight to fifteen digits in four or five groups (`71-33-52-22`) are one, and so is any eight to fifteen
  beside a word such as "call"; seven (`971-8523`) only beside such a word;
* anything else goes to Presidio, as a short text of its own, for its regions (US, GB, DE, FR, IL, IN, CA,
  BR) at leniency VALID. Ten digits that read as a Unix time of 2001–2033 are none without such a word.

After a hundred doubtful candidates in one text (a table of numbers, or an attack on our time) all further
ones count as found.

Not found: national formats of other countries without `+`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser, context
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_CANDIDATE = re.compile(
    r"(?<![\w.$€£])(?<!\d,)(?:\+|00)?[(\d][\d \t\xa0().\-/–‑]{5,24}\d"
    r"(?:\s{0,2}(?:x|ext\.?|extension)\s{0,2}\d{1,6})?(?![\w]|[.,]\d)",
    re.IGNORECASE,
)
_INTERNATIONAL = re.compile(r"(?:\+|00)\d")
_NORTH_AMERICAN = re.compile(
    r"(?:\+?1[\s.\-]?)?(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[\s.\-/–‑])\d{3}[\s.\-–‑]?\d{4}"
    r"(?:\s{0,2}(?:x|ext\.?|extension)\s{0,2}\d{1,6})?",
    re.IGNORECASE,
)
_ANY_DASHED = re.compile(r"\(?\d{3}\)?[\s.\-–‑]{1,2}\d{3}[\s.\-–‑]\d{4}")
_LOCAL = re.compile(r"\d{3}[.\-–‑ ]\d{4}")
_GROUPED = re.compile(r"\d{2,3}([ .\-])\d{2,3}(?:\1\d{2,3}){2,3}")
_DATE = re.compile(
    r"(?:19|20)\d\d([\-/.])\d{1,2}\1\d{1,2}|\d{1,2}([\-/.])\d{1,2}\2(?:19|20)?\d\d|(?:19|20)\d\d\s?[\-–]\s?(?:19|20)\d\d"
    r"|\d{1,3}(?:\.\d{1,3}){3}|(?:19|20)\d{6}",
    re.DOTALL,
)
_LEADING_DATE = re.compile(
    r"(?:(?:19|20)\d\d([\-/.])\d{1,2}\1\d{1,2}|\d{1,2}([\-/.])\d{1,2}\2(?:19|20)\d\d)[ \t]+"
)
_UNIX_TIME = re.compile(r"1\d{9}(?:\d{3})?")
_EXPLAINED = context(
    "phone|telephone|tel|cell|cellphone|mobile|call|calling|dial|fax|text|sms|whatsapp|ring|reach|number|contact|"
    "answering|messages|office|registered|line"
)
_SCORE = 0.4  # Presidio's
_REACH = 40
_DOUBTFUL_MOST = 100


def build() -> Recogniser:
    presidio = predefined().PhoneRecognizer()

    def find(text: str) -> Iterable[Finding]:
        doubtful = 0
        for match in _CANDIDATE.finditer(text):
            start, end = match.span()
            lead = _LEADING_DATE.match(match[0])
            if lead is not None:
                start += lead.end()
            candidate = text[start:end]
            digits = sum(map(str.isdigit, candidate))
            if digits < 7 or _DATE.fullmatch(candidate):
                continue
            explained = bool(_EXPLAINED.search(text, max(0, start - _REACH), start))
            if (
                _NORTH_AMERICAN.fullmatch(candidate)
                or _ANY_DASHED.fullmatch(candidate)
                or (_INTERNATIONAL.match(candidate) and 8 <= digits <= 15)
            ):
                yield Finding(start, end, "PHONE_NUMBER", 0.7)
            elif digits == 7 and _LOCAL.fullmatch(candidate):
                if explained:
                    yield Finding(start, end, "PHONE_NUMBER", 0.5)
            elif 8 <= digits <= 15 and (explained or _GROUPED.fullmatch(candidate)):
                yield Finding(start, end, "PHONE_NUMBER", 0.5)
            elif not _UNIX_TIME.fullmatch(candidate):
                # Several numbers in a row are read as one candidate: take it apart.
                found = False
                for part in _NORTH_AMERICAN.finditer(candidate):
                    found = True
                    yield Finding(start + part.start(), start + part.end(), "PHONE_NUMBER", 0.6)
                if found:
                    continue
                doubtful += 1
                if doubtful > _DOUBTFUL_MOST:
                    yield Finding(start, end, "PHONE_NUMBER", _SCORE)
                else:
                    for result in presidio.analyze(candidate, [], None):
                        if not _DATE.fullmatch(candidate[result.start : result.end]):
                            yield Finding(start + result.start, start + result.end, "PHONE_NUMBER", _SCORE)

    return Recogniser("phone", find, "digit", re.compile(r"\d(?:[ \t\xa0().\-/–‑]{0,3}\d){6}"))
