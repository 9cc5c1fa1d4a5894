"""`plan`: how much noise a budget needs, how long it lasts, what a second model costs. Spends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veilstream.cli.wiring import Json, open_ledger, print_json, print_table, run, settings

if TYPE_CHECKING:
    from veilstream.accounting import Account

MONTH_SECONDS = 30 * 86400.0
PLD_POINTS = 8
EPSILON, DELTA = 8.0, 1e-6


def plan(
    epsilon: Annotated[
        float | None, typer.Option(help=f"ε of the whole budget; {EPSILON:g} by default.", show_default=False)
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help=f"δ, well below one over the number of people; {DELTA:g} by default.", show_default=False
        ),
    ] = None,
    people: Annotated[
        int | None, typer.Option(min=1, help="People in a window; the setting worker.population by default.")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(help="Length of a window, seconds; the setting worker.window_seconds by default."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of a window; the setting worker.steps by default.")
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(min=1, help="How many windows the budget has to last; 30 days of them by default."),
    ] = None,
    sampling_rate: Annotated[
        float | None,
        typer.Option(help="Rate at which a person enters a step; worker.sampling_rate by default."),
    ] = None,
    batch: Annotated[
        float | None, typer.Option(help="Expected people in a step, in place of --sampling-rate.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="Noise multiplier σ: says how many windows fit, in place of how much noise is needed."
        ),
    ] = None,
    orders: Annotated[
        int, typer.Option(min=1, max=8, help="How many Rényi orders the budget gets; each costs some noise.")
    ] = 1,
    budget: Annotated[
        str | None,
        typer.Option(help="Go on from what this budget, and those above it, have spent; asks the store."),
    ] = None,
    second_model: Annotated[
        bool, typer.Option("--second-model", help="Also say what a second model under the same budget costs.")
    ] = False,
    second_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the second model; as the first by default.")
    ] = None,
    second_rate: Annotated[
        float | None, typer.Option(help="Sampling rate of the second model; as the first by default.")
    ] = None,
    plot: Annotated[
        list[Path] | None,
        typer.Option(
            help="Draw ε over the windows into this file (.png or .svg); may be given again.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Which noise, orders and batch a budget needs, or how many windows it lasts. Asks no broker."""
    from veilstream.accounting import Workload
    from veilstream.cli.foresight import Question, answer

    _check_words(plot or [], sampling_rate, batch, budget, epsilon, delta, noise, orders)
    worker = settings().worker
    length = window if window is not None else worker.window_seconds
    if not 0.0 < length < float("inf"):
        raise typer.BadParameter("takes seconds above 0", param_hint="--window")
    crowd = people or worker.population
    rate = sampling_rate if sampling_rate is not None else worker.sampling_rate
    if batch is not None:
        rate = batch / crowd
    first = Workload(rate, steps or worker.steps)
    second = None
    if second_model or second_steps is not None or second_rate is not None:
        second = Workload(second_rate if second_rate is not None else rate, second_steps or first.steps)
    accounts, notes = run(_accounts(budget)) if budget else ((), ())
    question = Question(
        epsilon=EPSILON if epsilon is None else epsilon,
        delta=DELTA if delta is None else delta,
        people=crowd,
        window_seconds=length,
        windows=windows or max(1, round(MONTH_SECONDS / length)),
        work=first,
        noise_multiplier=noise,
        orders=orders,
        accounts=accounts,
        notes=notes,
        second=second,
        pld_points=PLD_POINTS,
    )
    result = answer(question)
    if plot:
        from veilstream.cli.plots import draw_plan

        for path in plot:
            draw_plan(result, path)
    if json:
        print_json(result)
        return
    _show(result)
    for path in plot or []:
        typer.echo(f"drawn: {path}")


def _check_words(
    plot: list[Path],
    sampling_rate: float | None,
    batch: float | None,
    budget: str | None,
    epsilon: float | None,
    delta: float | None,
    noise: float | None,
    orders: int,
) -> None:
    """Refuse what cannot be meant, before anything is computed."""
    if sampling_rate is not None and batch is not None:
        raise typer.BadParameter("goes without --sampling-rate", param_hint="--batch")
    if budget and (epsilon is not None or delta is not None or orders != 1):
        raise typer.BadParameter(
            "has an ε, a δ and orders of its own: --epsilon, --delta and --orders go without it",
            param_hint="--budget",
        )
    if noise is not None and orders != 1:
        raise typer.BadParameter("goes without --noise", param_hint="--orders")
    for path in plot:
        if path.suffix.lower() not in (".png", ".svg"):
            raise typer.BadParameter("takes a file that ends in .png or .svg", param_hint="--plot")
        if not path.absolute().parent.is_dir():
            raise typer.BadParameter("its folder is not there", param_hint="--plot")
    if plot:
        import matplotlib  # noqa: F401  (a missing extra is told before the work, not after it)


async def _accounts(name: str) -> tuple[tuple[Account, ...], tuple[str, ...]]:
    """The budget and all above it, as they stand; and what a plan cannot know of them."""
    from veilstream.accounting import Account

    async with open_ledger(settings()) as (ledger, _):
        path = await ledger.path(name)
    notes = [f"{b.name} is frozen: nothing is charged to it before it is unfrozen" for b in path if b.frozen]
    notes += [
        f"{b.name} is refreshed every {_span(b.refresh_seconds)}: what fits is said of the present period"
        for b in path
        if b.refresh_seconds is not None
    ]
    return tuple(Account(b.name, b.epsilon, b.delta, b.orders, b.spent) for b in path), tuple(notes)


def _show(result: dict[str, Any]) -> None:
    print_table("plan", ("", ""), _rows(result))
    if result["alternatives"]:
        print_table(
            "other batches, the same budget and windows",
            ("sampling rate", "people in a step", "noise σ", "noise of the mean, in clip norms"),
            [
                (f"{a['sampling_rate']:.4g}", f"{a['expected_batch']:.6g}", f"{a['noise_multiplier']:.4f}",
                 f"{a['noise_of_mean']:.2e}")
                for a in result["alternatives"]
            ],
        )  # fmt: skip
    for line in result["warnings"]:
        typer.echo(f"note: {line}")


def _rows(result: dict[str, Any]) -> list[tuple[str, object]]:
    length, fits = result["window_seconds"], result["windows"]
    rows: list[tuple[str, object]] = []
    if result["budget"]:
        rows.append(("budget", f"{result['budget']}, {result['fraction_spent']:.1%} spent"))
    rows += [
        ("ε, δ", f"{result['epsilon']:g}, {result['delta']:g}"),
        ("Rényi orders", ", ".join(map(str, result["orders"]))),
        ("unit", result["unit"]),
        ("people in a window", result["people"]),
        ("sampling rate", f"{result['sampling_rate']:.4g}"),
        ("people in a step, expected", f"{result['expected_batch']:.6g}"),
        ("steps of a window", result["steps"]),
        ("noise multiplier σ", f"{result['noise_multiplier']:.4f}" + _why(result)),
        ("noise of the mean, in clip norms", f"{result['noise_of_mean']:.2e}"),
        ("windows that fit", f"{fits} of {_span(length)}: {_span(fits * length)}" if fits else "none"),
    ]
    if result["full_first"] != result["budget"]:
        rows.append(("full first", result["full_first"]))
    if fits:
        first, last = result["epsilon_after_first"], result["curve"][-1]["epsilon"]
        rows.append(("ε after the first window, the last", f"{first:.3f}, {last:.3f}"))
    rows += [
        (f"{each['fraction']:.0%} spent", f"after window {each['window']}, {_span(each['seconds'])}")
        for each in result["thresholds"]
    ]
    if result["pld"]:
        rows.append(("ε by PLD", f"{result['pld']['epsilon']:.3f} ({result['pld']['label']})"))
    if second := result["second_model"]:
        rows += [
            ("with a second model", f"{second['windows']} windows in place of {fits}"),
            ("its share of a window's charge", f"{second['share']:.0%}"),
        ]
        if second["noise_multiplier"]:
            rows.append(("σ with which both last as long", f"{second['noise_multiplier']:.4f}"))
    return rows


def _why(result: dict[str, Any]) -> str:
    return "" if result["noise_given"] else f", the least for {result['windows_asked']} windows"


def _span(seconds: float) -> str:
    """A length of time as a person says it."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return (
                f"{seconds / size:.3g} {unit}" if seconds / size < 1000 else f"{seconds / size:,.0f} {unit}"
            )
    return f"{seconds:.3g} seconds"
