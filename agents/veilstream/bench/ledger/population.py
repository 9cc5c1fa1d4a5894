"""People as the ledger's tokens, and windows of them; the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

__all__ = ["TOKEN_CHARS", "bucket", "packed", "parts", "tokens", "windows"]

TOKEN_CHARS = 24
_BUCKET_BITS = 16
_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz234567" * 8  # a byte's lowest five bits choose the letter


def tokens(people: int, seed: int) -> list[str]:
    """So many different random tokens of 120 bits, as an HMAC would give them."""
    random = Random(f"people/{seed}")  # noqa: S311  # nobody's
    letters = random.randbytes(people * TOKEN_CHARS).translate(_ALPHABET).decode("ascii")
    found = [letters[at : at + TOKEN_CHARS] for at in range(0, len(letters), TOKEN_CHARS)]
    assert len(set(found)) == people  # noqa: S101  # of 2^120: never
    return found


def windows(people: list[str], size: int, count: int, seed: str) -> list[tuple[str, ...]]:
    """`count` windows of `size` different people, drawn anew for each.

    Raises:
        ValueError: fewer people than a window takes.
    """
    random = Random(f"windows/{seed}")  # noqa: S311
    return [tuple(random.sample(people, size)) for _ in range(count)]


def parts(people: list[str], size: int, number: int, of: int) -> Iterator[tuple[str, ...]]:
    """Everybody once, in windows of `size`: part `number` of `of`."""
    for at in range(number * size, len(people), of * size):
        yield tuple(people[at : at + size])


def packed(token: str) -> bytes:
    """15 bytes."""
    return int(token.translate(_DIGITS), 32).to_bytes(15, "big")


def bucket(raw: bytes, buckets: int) -> int:
    """Which of so many hashes a person is in, spread evenly, as the ledger spreads them."""
    return (int.from_bytes(raw[:2], "big") * buckets) >> _BUCKET_BITS
