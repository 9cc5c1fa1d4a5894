"""The unit of privacy: whose an interaction is, and that a batch is of one unit only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from veilstream.errors import RecordInvalid

__all__ = ["in_item", "one_unit", "unit_of"]


def unit_of(interaction: Mapping[str, Any]) -> tuple[str, str, str]:
    """Tenant, unit and value of a checked `ai.veilstream.interaction.v1`.

    The unit is `subject`, or `conversation` where there is no subject; the value is theirs.
    """
    privacy = interaction["privacy"]
    subject = privacy.get("subject")
    if subject is None:
        return privacy["tenant"], "conversation", interaction["conversation"]
    return privacy["tenant"], "subject", subject


def one_unit(interactions: Iterable[Mapping[str, Any]]) -> tuple[str, str, str]:
    """The unit of a batch's interactions: at least one, each checked.

    Two people in one record would share its fate: what one of them said could send the other's words to
    quarantine, and a guarantee by person would not hold.

    Raises:
        RecordInvalid: `mixed_units`, at the first item whose unit is not the first item's.
    """
    units = (unit_of(interaction) for interaction in interactions)
    first = next(units)
    for index, unit in enumerate(units, start=1):
        if unit != first:
            raise RecordInvalid("mixed_units", f"$.interactions[{index}]")
    return first


def in_item(error: RecordInvalid, index: int) -> RecordInvalid:
    """An error of a single interaction, at its place in a batch."""
    path = f"$.interactions[{index}].interaction{error.path.removeprefix('$')}"
    return RecordInvalid(error.kind, path, detail=error.detail, hint=error.hint)
