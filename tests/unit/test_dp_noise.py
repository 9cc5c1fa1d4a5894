"""The generator: its key, its shapes, and that it cannot be repeated by accident."""

from __future__ import annotations

import copy
import json
import os
import pickle

import pytest
import torch
from scipy import stats

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.sampling import sample_people
from veilstream.errors import AccountingError


def test_shapes_types_and_ranges() -> None:
    generator = SecureGenerator()
    for shape in [(0,), (1,), (3, 5), (2, 0, 4), ()]:
        values = generator.normals(shape)
        assert tuple(values.shape) == shape
        assert values.dtype == torch.float64
    uniforms = generator.uniforms(10_000)
    assert float(uniforms.min()) >= 0
    assert float(uniforms.max()) < 1


def test_the_normals_are_normal() -> None:
    """Kolmogorov and Smirnov on 200,000 values, refused at 1e-9; a scale of 1.1 is refused with certainty."""
    values = SecureGenerator().normals((200_000,)).numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-9
    assert stats.kstest(values * 1.1, "norm").pvalue < 1e-9


def test_two_generators_differ_and_one_never_repeats() -> None:
    one, other = SecureGenerator(), SecureGenerator()
    first = one.uniforms(64)
    assert not torch.equal(first, other.uniforms(64))
    assert not torch.equal(first, one.uniforms(64))


def test_children_are_independent_of_each_other() -> None:
    one, other = SecureGenerator().split(2)
    assert not torch.equal(one.normals((64,)), other.normals((64,)))


def test_a_fixed_key_gives_fixed_numbers() -> None:
    """AES-256-CTR under a key of zeros: the format of the stream, for ever."""
    value = float(SecureGenerator(lambda count: bytes(count)).uniforms(1)[0])
    # AES-256 of a block of zeros under a key of zeros begins with these 8 bytes.
    word = int.from_bytes(bytes.fromhex("dc95c078a2408989"), "little")
    assert value == (word >> 11) * 2.0**-53


def test_it_cannot_be_copied() -> None:
    generator = SecureGenerator()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="repeat its noise"):
            attempt(generator)


def test_the_key_is_not_kept() -> None:
    key = os.urandom(32)
    generator = SecureGenerator(lambda count: key[:count])
    assert key not in [value for value in vars(generator).values() if isinstance(value, bytes)]
    assert repr(generator) == "SecureGenerator()"


def test_a_fork_takes_a_new_key() -> None:
    generator = SecureGenerator()
    (child,) = generator.split(1)

    def drawn() -> list[float]:
        return [*generator.uniforms(4).tolist(), *child.uniforms(4).tolist()]

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(drawn()).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    theirs = json.loads(os.read(reader, 10_000))
    assert len(theirs) == 8
    assert not set(theirs) & set(drawn())


def test_sampling_at_the_edges() -> None:
    generator = SecureGenerator()
    assert sample_people(0, 0.5, generator).tolist() == []
    assert sample_people(5, 1.0, generator).tolist() == [0, 1, 2, 3, 4]
    assert sample_people(1000, 1e-300, generator).tolist() == []
    for rate in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(AccountingError):
            sample_people(5, rate, generator)
    with pytest.raises(AccountingError):
        sample_people(-1, 0.5, generator)
