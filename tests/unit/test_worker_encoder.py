"""The sentence encoder: the same bits whoever else is in the call."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.errors import ReleaseInvalid
from veilstream.worker.encoder import DIMENSIONS, MiniLM
from veilstream.worker.fit import linear_head, tensors_of
from veilstream.worker.tasks import Example, load_labels
from veilstream.worker.toolchoice import ToolChooser

TEXTS = ["", "Book a table for two", "What is the weather like? " * 20, "你好", "<EMAIL_ADDRESS> called", "a"]


@pytest.fixture(scope="module", params=[False, None], ids=["float32", "as the CPU has it"])
def encoder(request: pytest.FixtureRequest) -> MiniLM:
    return MiniLM(rows=4, bfloat16=request.param)


def test_rows_of_unit_length(encoder: MiniLM) -> None:
    found = encoder.encode(TEXTS)
    assert found.shape == (len(TEXTS), DIMENSIONS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(TEXTS)), rtol=1e-4, atol=1e-4)
    assert encoder.encode([]).shape == (0, DIMENSIONS)


@settings(max_examples=6, deadline=None)
@given(company=st.lists(st.sampled_from(TEXTS) | st.text(max_size=40), max_size=9), place=st.integers(0, 9))
def test_no_company_moves_a_bit(encoder: MiniLM, company: list[str], place: int) -> None:
    text = "I would like to find a bus to Sacramento"
    together = [*company[:place], text, *company[place:]]
    alone = encoder.encode([text])[0]
    assert torch.equal(encoder.encode(together)[min(place, len(company))], alone)


def test_near_texts_are_near(encoder: MiniLM) -> None:
    a, b, c = encoder.encode(["I am hungry", "I want to eat something", "The bus leaves at nine"])
    assert float(a @ b) > float(a @ c) + 0.2


def test_the_check_ends_the_work(encoder: MiniLM) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        encoder.encode(["a"], check=stop)


def test_people_become_rows(encoder: MiniLM) -> None:
    rows = [[Example("a", 3, True), Example("b", 0, False)], [Example("c", 1, True)]]
    features, mask, labels = tensors_of(rows, 3, encoder.encode)
    assert features.shape == (2, 3, DIMENSIONS)
    assert mask.tolist() == [[True, True, False], [True, False, False]]
    assert labels.tolist() == [[3, 0, 0], [1, 0, 0]]
    assert torch.equal(features[1, 0], encoder.encode(["c"])[0])
    assert float(features[1, 1:].abs().sum()) == 0
    assert tensors_of([], 3, encoder.encode)[0].shape == (0, 3, DIMENSIONS)


class _Release:
    def __init__(self, encoder: MiniLM, outputs: int) -> None:
        labels = load_labels()
        self.card = {"labels": list(labels.names), "encoder": encoder.card}
        head = linear_head(outputs)
        with torch.no_grad():
            head.bias[labels.index("GetWeather")] = 5.0
        self.tensors = {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}


def test_a_release_chooses_tools(encoder: MiniLM) -> None:
    outputs = len(load_labels())
    ranked = ToolChooser.from_release(_Release(encoder, outputs), encoder=encoder).choose("rain?", ["Hello"])
    assert ranked[0][0] == "GetWeather"
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    with pytest.raises(ReleaseInvalid, match="linear head"):
        ToolChooser.from_release(_Release(encoder, outputs + 1), encoder=encoder)
    other = _Release(encoder, outputs)
    other.card["encoder"] = {"sha256": "another"}
    with pytest.raises(ReleaseInvalid, match="another sentence encoder"):
        ToolChooser.from_release(other, encoder=encoder)
