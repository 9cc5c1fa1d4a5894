"""What `plan` answers: one JSON object, made of public parameters alone. No store, no broker, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from veilstream.accounting import (
    PLD_LABEL,
    Account,
    Outlook,
    Stage,
    Workload,
    best_order,
    noise_within,
    outlook,
    pld_epsilons,
    second_model,
)
from veilstream.accounting import plan as least_noise
from veilstream.errors import AccountingError, MissingExtra

__all__ = ["Question", "answer"]

MOST_PLD_STEPS = 10_000_000
"""Beyond it PLD takes many seconds, and its rounding shows."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is known, and what is left open: the noise where `noise_multiplier` is None."""

    epsilon: float
    delta: float
    people: int
    window_seconds: float
    windows: int  # how many the budget has to last, where the noise is open
    work: Workload
    noise_multiplier: float | None
    orders: int
    accounts: tuple[Account, ...] = ()  # a budget and those above it; none: a new one, from zero
    notes: tuple[str, ...] = ()  # what else there is to say of the accounts
    second: Workload | None = None
    pld_points: int = 0


def answer(question: Question) -> dict[str, Any]:
    """The plan as JSON: see `docs/accounting.md` for each of its keys.

    Raises:
        AccountingError: a parameter outside its domain, or no noise suffices.
    """
    accounts, noise = _settled(question)
    seen = outlook(accounts, (question.work,), noise)
    paying = accounts[0]
    span = question.window_seconds
    pld = _pld(question, noise, paying, seen)
    by_window = dict(pld)
    curve = [
        {
            "window": p.window,
            "epsilon": round(p.epsilon, 6),
            "fraction": round(p.fraction, 6),
            "pld": by_window.get(p.window),
        }
        for p in seen.curve
    ]
    return {
        "budget": paying.name if question.accounts else "",
        "epsilon": paying.epsilon,
        "delta": paying.delta,
        "orders": list(paying.orders),
        "unit": "a person, over all windows",
        "epsilon_spent": curve[0]["epsilon"],
        "fraction_spent": curve[0]["fraction"],
        "people": question.people,
        "window_seconds": span,
        "windows_asked": question.windows,
        "sampling_rate": question.work.sampling_rate,
        "expected_batch": question.work.sampling_rate * question.people,
        "steps": question.work.steps,
        "noise_multiplier": noise,
        "noise_given": question.noise_multiplier is not None,
        "noise_of_mean": _noise_of_mean(noise, question.work.sampling_rate, question.people),
        "windows": seen.windows,
        "full_first": seen.full_first if question.accounts else "",
        "seconds_until_exhausted": seen.windows * span,
        "thresholds": [
            {"fraction": share, "window": window, "seconds": window * span}
            for share, window in seen.thresholds
        ],
        "epsilon_after_first": round(seen.after_first, 6) if seen.windows else None,
        "curve": curve,
        "pld": {"epsilon": pld[-1][1], "window": pld[-1][0], "label": PLD_LABEL} if pld else None,
        "second_model": _second(question, accounts, noise, seen),
        "alternatives": _alternatives(question),
        "warnings": _warnings(question, paying, seen, pld),
    }


def _settled(question: Question) -> tuple[tuple[Account, ...], float]:
    """The accounts with their orders, and the noise: whichever was left open is chosen."""
    noise, work = question.noise_multiplier, question.work
    if question.accounts:
        if noise is None:
            noise = _noise_for(question.accounts, (work,), question.windows)
        return question.accounts, noise
    if noise is None:
        made = least_noise(
            question.epsilon,
            question.delta,
            work.sampling_rate,
            work.steps,
            question.windows,
            question.orders,
        )
        orders, noise = made.orders, made.noise_multiplier
    else:
        orders = (best_order(question.epsilon, question.delta, work.sampling_rate, noise, work.steps),)
    fresh = Account("", question.epsilon, question.delta, orders, (0,) * len(orders))
    return (fresh,), noise


def _noise_for(accounts: Sequence[Account], work: Sequence[Workload], windows: int) -> float:
    rooms = [min(each) for each in zip(*(account.rooms for account in accounts), strict=True)]
    return noise_within(rooms, accounts[0].orders, work, windows)


def _noise_of_mean(noise: float, rate: float, people: int) -> float | None:
    """Standard deviation of the noise in a step's mean gradient, in clip norms."""
    return noise / (rate * people) if rate > 0.0 else None


def _pld(question: Question, noise: float, paying: Account, seen: Outlook) -> list[tuple[int, float]]:
    """ε by PLD at some windows of the curve: only for a run that starts from zero, where PLD may be used."""
    if any(paying.spent) or not question.pld_points or seen.windows < 1:
        return []
    if seen.windows * question.work.steps > MOST_PLD_STEPS:
        return []
    shown = [p.window for p in seen.curve if p.window > 0]
    last = len(shown) - 1
    wanted = sorted(
        {shown[round(last * (i / question.pld_points) ** 2)] for i in range(question.pld_points + 1)}
    )
    stage = Stage(question.work.sampling_rate, noise, question.work.steps)
    try:
        found = pld_epsilons(stage, paying.delta, wanted)
        return [(window, round(epsilon, 6)) for window, epsilon in zip(wanted, found, strict=True)]
    except MissingExtra:
        return []


def _second(
    question: Question, accounts: Sequence[Account], noise: float, seen: Outlook
) -> dict[str, Any] | None:
    if question.second is None:
        return None
    found = second_model(accounts, question.work, question.second, noise, seen.windows)
    return {
        "sampling_rate": question.second.sampling_rate,
        "steps": question.second.steps,
        "share": round(found.share, 6),
        "windows": found.windows,
        "noise_multiplier": found.noise_multiplier,
        "curve": [
            {"window": p.window, "epsilon": round(p.epsilon, 6)}
            for p in outlook(accounts, (question.work, question.second), noise).curve
        ],
    }


def _alternatives(question: Question) -> list[dict[str, float]]:
    """The noise that other batches would need, for the same windows: where the noise was left open."""
    if question.noise_multiplier is not None:
        return []
    rate = question.work.sampling_rate
    rows = []
    for other in sorted({rate / 2, min(1.0, 2 * rate), 1.0} - {rate}):
        try:
            noise = _settled(replace(question, work=Workload(other, question.work.steps)))[1]
        except AccountingError:
            continue  # no noise suffices for that batch: nothing to show
        rows.append(
            {
                "sampling_rate": other,
                "expected_batch": other * question.people,
                "noise_multiplier": noise,
                "noise_of_mean": noise / (other * question.people),
            }
        )
    return rows


def _warnings(
    question: Question, paying: Account, seen: Outlook, pld: Sequence[tuple[int, float]]
) -> list[str]:
    lines = list(question.notes)
    if paying.delta * question.people >= 1.0:
        lines.append("δ is not below one over the people: as many might be exposed outright")
    if question.work.sampling_rate * question.people < 1.0:
        lines.append("fewer than one person is expected in a step")
    if not seen.windows:
        lines.append("no window fits: more noise, fewer steps, a smaller batch or a larger ε would make room")
    elif not any(paying.spent) and question.pld_points and not pld:
        long = seen.windows * question.work.steps > MOST_PLD_STEPS
        need = "it needs the extra `trainers` (pip install 'veilstream[trainers]')"
        lines.append(f"no PLD: {'the run has more than ten million steps' if long else need}")
    return lines
