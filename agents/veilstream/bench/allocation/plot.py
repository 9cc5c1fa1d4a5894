"""The figures of a run as a picture: what is granted by kind, who gets the budget, and what varies."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from veilstream.bench.allocation.measure import POLICIES
from veilstream.errors import MissingExtra, SettingInvalid

__all__ = ["LABELS", "check_path", "draw"]

LABELS = {
    "first_come": "first come",
    "weighted": "weighted",
    "dominant_share": "dominant share (DPF)",
    "packing": "packing (DPack)",
}
# Okabe & Ito's palette, which the colour-blind can tell apart; and a hatch, for print.
_LOOKS = {
    "first_come": ("#999999", ""),
    "weighted": ("#E69F00", "//"),
    "dominant_share": ("#0072B2", ".."),
    "packing": ("#009E73", "xx"),
}


def check_path(path: Path) -> None:
    """Before anything is computed.

    Raises:
        SettingInvalid: a suffix other than .png and .svg, or a folder that is not there.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix not in (".png", ".svg") or not path.parent.is_dir():
        raise SettingInvalid("a plot is a file ending in .png or .svg, in a folder that is there")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("plots need matplotlib", hint="pip install 'veilstream[plots]'")


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the picture of what `measure` returned. Raises as `check_path` does."""
    check_path(path)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture, (kinds, models, third) = pyplot.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    told = result["policies"]
    names = list(told["first_come"]["part_by_kind"])
    _bars(
        kinds,
        names,
        {p: [told[p]["part_by_kind"][n] for n in names] for p in POLICIES},
        "demands granted (%)",
    )
    kinds.set_title("What is granted")
    names = list(told["first_come"]["budget_by_model"])
    _bars(
        models,
        [f"{n}\n(weight {result['weights'][n]:g})" for n in names],
        {p: [told[p]["budget_by_model"][n] for n in names] for p in POLICIES},
        "share of the budget spent (%)",
    )
    whole = sum(result["weights"].values())
    for place, name in enumerate(names):
        due = 100 * result["weights"][name] / whole
        models.plot([place - 0.45, place + 0.45], [due, due], "k--", linewidth=1)
    models.set_title("Who gets the budget (dashed: by weight)")
    if "heterogeneity" in result:
        _heterogeneity(third, result["heterogeneity"])
    else:
        _delays(third, told)
    handles, labels = kinds.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=len(POLICIES), frameon=False)
    picture.suptitle(
        f"veilstream bench allocation, {result['workload']} workload: mean of {result['seeds']} seeds, "
        "lines from least to greatest"
    )
    picture.savefig(path, dpi=120)
    pyplot.close(picture)


def _bars(
    axes: Any,
    names: Sequence[str],
    values: dict[str, list[dict[str, float]]],
    label: str,
    scale: float = 100.0,
) -> None:
    width = 0.8 / len(values)
    for number, (policy, those) in enumerate(values.items()):
        colour, hatch = _LOOKS[policy]
        means = [scale * v["mean"] for v in those]
        axes.bar(
            [place + (number - (len(values) - 1) / 2) * width for place in range(len(names))],
            means,
            width,
            yerr=[
                [max(0.0, m - scale * v["least"]) for m, v in zip(means, those, strict=True)],
                [max(0.0, scale * v["greatest"] - m) for m, v in zip(means, those, strict=True)],
            ],
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=LABELS[policy],
            error_kw={"elinewidth": 1},
        )
    axes.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names])
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def _delays(axes: Any, told: dict[str, Any]) -> None:
    keys = {"median": "delay_p50_seconds", "mean": "delay_seconds", "95 %": "delay_p95_seconds"}
    _bars(axes, list(keys), {p: [told[p][k] for k in keys.values()] for p in POLICIES}, "seconds", 1.0)
    axes.set_title("Delay of what is granted")


def _heterogeneity(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    markers = {"first_come": "o", "weighted": "s", "dominant_share": "^", "packing": "D"}
    for number, policy in enumerate(POLICIES):
        axes.plot(
            [place + (number - 1.5) * 0.12 for place in range(len(rows))],  # side by side where they agree
            [row[policy] for row in rows],
            color=_LOOKS[policy][0],
            marker=markers[policy],
            linestyle="",
            markersize=7,
        )
    axes.set_xticks(range(len(rows)), [f"{r['sigma_blocks']:g}, {r['sigma_alpha']:g}" for r in rows])
    axes.set_xlabel("σ of the number of blocks, σ of the best order (places)")
    axes.set_ylabel("demands granted")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("As demands differ more (all at once)")
