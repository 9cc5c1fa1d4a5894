"""What is done to personal data that was found: a policy, applied to a whole record.

What it promises, for the kinds that the policy does not keep:

* every leaf of a record is looked at: values, keys, numbers, and JSON inside strings (`events.walker`);
* what a pattern finds, and what a key name declares, does not stand in the output, at its place or anywhere
  else in the same record: a first pass collects, a second takes each further occurrence out (`declared`);
* the output is a function of the record, the keys and the policy's version alone, and protecting it again
  changes nothing;
* nothing of another record enters it, so removing a person's records changes no other protected record;
* an error names a path of the contract and a kind, never content.

What it does not: it cannot take out what neither a pattern finds nor a key declares (a bare name in running
text, a story that only one person could tell). Pseudonyms (`<ACCOUNT:…>`) are stable under the tenant's key
and are personal data still: whoever has the key can test guesses, and they outlive the erasure of a person.
docs/policy.md has the format, the kinds and the limits.
"""

from __future__ import annotations

from veilstream.protection.policy import Policy, load_policy
from veilstream.protection.protector import Protector
from veilstream.protection.redact import redact_lines
from veilstream.protection.structure import INTERACTION_STRUCTURE, Structure
from veilstream.protection.tokens import Tokens

__all__ = [
    "INTERACTION_STRUCTURE",
    "Policy",
    "Protector",
    "Structure",
    "Tokens",
    "load_policy",
    "redact_lines",
]
