"""Tests that try to break the guarantee.

* `gates` — statistical gates on noise and on sensitivity: each takes what a mechanism put out and says
  whether it is consistent with what it claims. Pure functions of tensors; they touch no data of people.

A gate that passes proves nothing beyond what its docstring derives; a gate that fails has found a fault, up
to the false-alarm probability that it states. Each is tested with mutants that it must catch. Attacks on
real members belong to the operator channel: their scores are inside the boundary and never leave it.
"""

from __future__ import annotations
