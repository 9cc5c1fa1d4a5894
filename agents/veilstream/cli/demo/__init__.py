"""The demo: the whole path on one machine, with real parts.

* `conversations` — seeded conversations with planted personal data.
* `dump` — what each topic holds, read back; what of the planted survived.
* `show` — runs the roles as processes and watches them.
* `summary` — what a person is told at the end.
"""
