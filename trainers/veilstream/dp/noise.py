"""Randomness for sampling and noise: a keystream under a 256-bit key from the operating system.

torch's CPU generator is a Mersenne Twister: its state follows from its outputs, and a released model is its
output. Here every number comes from AES-256 in counter mode (NIST SP 800-38A), a pseudo-random generator as
long as AES is a pseudo-random permutation; so the guarantee is computational in the key, as any is that does
not draw all its bits from hardware.

**The guarantee is one in real arithmetic.** The samples are doubles made from 53-bit uniforms by Box and
Muller's transform (Ann. Math. Stat. 29, 1958): they live on an uneven grid and end at 8.57 standard
deviations, and a double's grid depends on its magnitude, so an adversary who sees the exact bits of a noisy
sum can in principle tell neighbours apart that real Gaussian noise would hide (Mironov, CCS 2012). Until sums
are rounded to a lattice and the noise is discrete, model cards say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["SecureGenerator"]

_KEY_BYTES = 32
_TWO_53 = 2.0**-53


class SecureGenerator:
    """Uniforms and normals from AES-256-CTR under a fresh key.

    The key is never stored, logged or shown: it lives in the cipher's state alone. A generator cannot be
    pickled or copied, since the copy would repeat the noise; after a fork the child takes a new key. It is
    not thread-safe: one generator for each thread.

    Args:
        entropy: where the 32 bytes of a key come from. Anything but the operating system voids the
            guarantee; tests pass a fixed one to compare neighbours under the same noise.
    """

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        cipher = Cipher(algorithms.AES256(self._entropy(_KEY_BYTES)), modes.CTR(bytes(16)))
        self._stream = cipher.encryptor()

    def _bytes(self, count: int) -> bytes:
        if os.getpid() != self._pid:
            self._start()
        return self._stream.update(bytes(count))

    def split(self, count: int) -> list[SecureGenerator]:
        """Independent generators, keyed from this one's keystream (a tree of pseudo-random generators)."""
        keys = [self._bytes(_KEY_BYTES) for _ in range(count)]
        return [SecureGenerator(_once(key)) for key in keys]

    def uniforms(self, count: int) -> torch.Tensor:
        """`count` uniforms on {0, 1, …, 2^53 - 1}·2^-53, float64; none for 0."""
        return torch.from_numpy(self._uniforms(count))

    def _uniforms(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        words = np.frombuffer(self._bytes(8 * count), dtype=np.uint64)
        return (words >> np.uint64(11)).astype(np.float64) * _TWO_53

    def normals(self, shape: tuple[int, ...] | torch.Size) -> torch.Tensor:
        """Independent standard normals of the given shape, float64."""
        count = int(np.prod(shape, dtype=np.int64))
        half = (count + 1) // 2
        uniform = self._uniforms(2 * half)
        # 1 - u lies in (0, 1]: the logarithm is finite for every word of the keystream.
        radius = np.sqrt(-2.0 * np.log1p(-uniform[:half]))
        angle = (2.0 * np.pi) * uniform[half:]
        values = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]
        return torch.from_numpy(values).reshape(shape)

    def __repr__(self) -> str:
        return "SecureGenerator()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a generator of noise cannot be copied or pickled: the copy would repeat its noise")


def _once(key: bytes) -> Callable[[int], bytes]:
    """Gives the key the first time (at once, in the constructor), the system's entropy after a fork."""
    left = [key]
    return lambda count: left.pop() if left else os.urandom(count)
