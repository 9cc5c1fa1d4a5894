"""The private step: sampling people, clipping what each contributes, and noise.

Guarantees, for a fixed data set and with the parameters fixed beforehand:

* `sampling` — each person enters a step independently with probability q, secretly.
* `step` — one step is a Gaussian mechanism on the sum of clipped contributions, of sensitivity C under
  adding or removing a person: noise of standard deviation σC on *every* parameter, whatever the batch.
* `train` — T such steps: the composition of T Poisson-subsampled Gaussian mechanisms of rate q and noise
  multiplier σ. `veilstream.accounting` says what that costs; this room charges nothing.
* `noise` — noise and sampling come from a keystream under a key of the operating system's.

It does not promise: anything about people who were not given to it one a row (group before you call), about
floating-point artefacts (the guarantee is one in real arithmetic, see `noise`), or about the time a step
takes, which depends on how many people were drawn.

Importing this package loads no torch; the names below load their module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veilstream.dp.noise import SecureGenerator
    from veilstream.dp.params import StepParams
    from veilstream.dp.sampling import sample_people
    from veilstream.dp.step import PersonOptimizer, PrivateStep
    from veilstream.dp.train import train

__all__ = ["PersonOptimizer", "PrivateStep", "SecureGenerator", "StepParams", "sample_people", "train"]

_HOME = {
    "PersonOptimizer": "step",
    "PrivateStep": "step",
    "SecureGenerator": "noise",
    "StepParams": "params",
    "sample_people": "sampling",
    "train": "train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
