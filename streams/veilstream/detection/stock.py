"""Presidio as it comes, for comparisons: AnalyzerEngine over the `no_op` engine, default recognisers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from veilstream.contracts import Finding
from veilstream.detection.presidio import hidden, predefined

__all__ = ["stock_presidio"]


def stock_presidio() -> Callable[[str], Sequence[Finding]]:
    """A function that finds what stock Presidio finds without a language model."""
    predefined()  # pins the suffix list
    with hidden("torch", "transformers"):
        analyzer = importlib.import_module("presidio_analyzer")
        nlp = importlib.import_module("presidio_analyzer.nlp_engine")
        configuration = {
            "nlp_engine_name": "no_op",
            "models": [{"lang_code": "en", "model_name": "no_op"}],
        }
        nlp_engine = nlp.NlpEngineProvider(nlp_configuration=configuration).create_engine()
        engine = analyzer.AnalyzerEngine(nlp_engine=nlp_engine, supported_languages=["en"])

    def find(text: str) -> Sequence[Finding]:
        results = engine.analyze(text, language="en")
        return [Finding(r.start, r.end, r.entity_type, float(r.score)) for r in results]

    return find
