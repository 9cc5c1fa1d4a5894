"""Plots of plans. The plot library is loaded here and nowhere else; it is the extra `plots`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["draw_plan"]

# Okabe & Ito's colours, told apart with any kind of colour vision; each line has a style of its own as well.
BLUE, ORANGE, GREEN, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#000000", "#666666"


def draw_plan(plan: dict[str, Any], path: Path) -> None:
    """ε over windows of a plan (the JSON of `veilstream plan`) into a .png or .svg file.

    No window system is asked: the figure renders itself. The same plan gives the same SVG.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "veilstream"
    figure = Figure(figsize=(9.0, 5.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    curve = plan["curve"]
    windows = [point["window"] for point in curve]
    axes.plot(windows, [p["epsilon"] for p in curve], color=BLUE, linewidth=2.2,
              label="what the ledger charges: public odometer")  # fmt: skip
    tight = [(p["window"], p["pld"]) for p in curve if p["pld"] is not None]
    if tight:
        axes.plot(*zip(*tight, strict=True), color=GREEN, linewidth=1.6, linestyle="--", marker="o",
                  markersize=4, label="PLD of the same run, all fixed beforehand")  # fmt: skip
    second = plan["second_model"]
    if second:
        both = second["curve"]
        axes.plot([p["window"] for p in both], [p["epsilon"] for p in both], color=ORANGE, linewidth=1.8,
                  linestyle="-.", label="with a second model beside it")  # fmt: skip
    axes.axhline(plan["epsilon"], color=BLACK, linewidth=1.2, linestyle=":",
                 label=f"cap: ε = {plan['epsilon']:g} at δ = {plan['delta']:g}")  # fmt: skip
    by_window = dict(zip(windows, (p["epsilon"] for p in curve), strict=True))
    top = max([plan["epsilon"], *by_window.values()])
    for number, mark in enumerate(plan["thresholds"]):
        axes.axvline(mark["window"], color=GREY, linewidth=0.8, alpha=0.6)
        axes.annotate(
            f"{mark['fraction']:.0%}", (mark["window"], top * (1.09 - 0.05 * (number % 2))),
            xytext=(-3, 0), textcoords="offset points", fontsize=8.5, color=GREY, ha="right",
        )  # fmt: skip
    axes.set_xlabel(f"windows of {plan['window_seconds']:g} seconds (grey lines: share of the budget spent)")
    axes.set_ylabel(f"ε spent on one person, at δ = {plan['delta']:g}")
    axes.set_xlim(0, max(1, windows[-1]) * 1.02)
    axes.set_ylim(0, top * 1.15)
    days = plan["window_seconds"] / 86400.0
    above = axes.secondary_xaxis("top", functions=(lambda n: n * days, lambda d: d / days))
    above.set_xlabel("days")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9, framealpha=0.95)
    noise, batch = plan["noise_multiplier"], plan["expected_batch"]
    name = f"Budget {plan['budget']}" if plan["budget"] else "A new budget"
    parts = (
        f"σ = {noise:.4g}",
        f"{batch:g} of {plan['people']} people a step",
        f"{plan['steps']} steps a window",
    )
    axes.set_title(f"{name}: {', '.join(parts)}", fontsize=10.5, pad=12)
    kind = path.suffix.lower().removeprefix(".")
    figure.savefig(path, format=kind, metadata={"Date": None} if kind == "svg" else None)
