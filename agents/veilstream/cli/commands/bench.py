"""`bench`: one command a benchmark."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from veilstream.cli.wiring import Json, print_json, print_table, run

app = typer.Typer(no_args_is_help=True, help="Benchmarks, each against its peer in the same run.")


@app.callback()
def root() -> None:
    pass


@app.command()
def protect(
    input: Annotated[
        Path | None,
        typer.Option(
            help="Dialogues (JSONL, .gz too); seeded conversations by default.", exists=True, dir_okay=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Records to protect.")] = 200,
    repeat: Annotated[int, typer.Option(min=2, help="Repetitions, for the spread.")] = 5,
    json: Json = False,
) -> None:
    """Protect records on one core, against stock Presidio patterns and against decoding alone."""
    from veilstream.bench.protect import measure
    from veilstream.cli.demo.records import demo_records

    records = [value for value, _ in demo_records(input, limit, seed=1, tenant="bench")]
    result = measure(records, repeat)
    if json:
        print_json(result)
    else:
        print_table("protect", ("", ""), [(key, value) for key, value in result.items()])


@app.command()
def pipeline(
    json: Json = False,
    engine: Annotated[
        Literal["present", "none"],
        typer.Option(
            help="`none` decodes, walks and encodes each record and changes nothing: the loop shows."
        ),
    ] = "present",
    workload: Annotated[
        Literal["fresh", "replayed", "both"],
        typer.Option(help="Records of a new turn only, records that repeat their conversation, or both."),
    ] = "both",
    workers: Annotated[
        Literal["1", "2", "both"], typer.Option(help="Worker processes; both: first one, then two.")
    ] = "both",
    record_kb: Annotated[
        int | None, typer.Option(min=1, max=16, help="Fresh records of this size; 2 KB median by default.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=100, help="Interactions in a record.")] = 1,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Partitions of the topics.")] = 4,
    repeat: Annotated[int, typer.Option(min=1, help="Repetitions, for the spread.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="A timed run, after its warm-up.")] = 6.0,
    latency_seconds: Annotated[
        float, typer.Option(min=1, max=600, help="Time that delays are taken.")
    ] = 12.0,
    backlog_mb: Annotated[
        float, typer.Option(min=1, max=20_000, help="Most megabytes in the raw topic before a run.")
    ] = 400.0,
    delivery: Annotated[
        Literal["exactly_once", "at_least_once", "both"],
        typer.Option(help="Setting of the processors; both: rates with exactly_once, delays with each."),
    ] = "both",
    compression: Annotated[
        Literal["none", "gzip", "lz4", "zstd"], typer.Option(help="Compression of all that is written.")
    ] = "none",
    growth: Annotated[
        bool, typer.Option("--growth", help="Throughput against partitions (1 to 16) and workers instead.")
    ] = False,
    soak: Annotated[
        bool, typer.Option("--soak", help="Minutes of load with faults, and the slope of the memory instead.")
    ] = False,
    minutes: Annotated[float, typer.Option(min=0.5, max=1440, help="How long a soak is.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the workload.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with sgd/train.jsonl.gz, or such a file; VEILSTREAM_DATA by default."),
    ] = None,
    bootstrap: Annotated[
        str | None, typer.Option(help="A broker that is there; one of its own by default.")
    ] = None,
    store_url: Annotated[
        str | None, typer.Option(help="A store that is there; one of its own by default.")
    ] = None,
) -> None:
    """From produce to protected on a real Kafka, beside plain aiokafka and stock Presidio in the same run."""
    from veilstream.bench.pipeline.figures import rounded
    from veilstream.bench.pipeline.growth import growth as measure_growth
    from veilstream.bench.pipeline.matrix import measure
    from veilstream.bench.pipeline.options import Options
    from veilstream.bench.pipeline.soak import soak as measure_soak
    from veilstream.bench.pipeline.stack import ground
    from veilstream.bench.pipeline.workload import utterances

    options = Options(
        engine=engine,
        workloads=("fresh", "replayed") if workload == "both" else (workload,),
        workers=(1, 2) if workers == "both" else (int(workers),),
        partitions=partitions,
        repeat=repeat,
        seconds=seconds,
        latency_seconds=latency_seconds,
        backlog_mb=backlog_mb,
        record_kb=record_kb,
        batch=batch,
        delivery="exactly_once" if delivery == "both" else delivery,
        both_deliveries=delivery == "both",
        compression=compression,
        seed=seed,
        data=data or Path(os.environ.get("VEILSTREAM_DATA") or "../shared/data"),
        bootstrap=bootstrap,
        store_url=store_url,
    )

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    texts = utterances(options.data)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is taken down then, too
    with ground(options) as here:
        if soak:
            result = run(measure_soak(here, texts, minutes, say))
        elif growth:
            result = run(measure_growth(here, texts, say))
        else:
            result = run(measure(here, texts, say))
    told: Any = rounded(result)
    if json:
        print_json(told)
    else:
        flat = [(key, value) for key, value in told.items() if not isinstance(value, list | dict)]
        print_table("pipeline", ("", ""), flat)
        for name in ("growth", "phases"):
            if name in told:
                rows = told[name]
                print_table(name, list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def allocation(
    workload: Annotated[
        Literal["privatekube", "dpack"], typer.Option(help="The published kind that demands are drawn from.")
    ] = "privatekube",
    seed: Annotated[int, typer.Option(help="The first seed; the others follow it.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs, each with a seed of its own.")] = 5,
    scale: Annotated[
        float, typer.Option(min=0.01, max=10, help="Length of a run; 1 is the published one.")
    ] = 1.0,
    json: Json = False,
    plot: Annotated[
        list[Path] | None, typer.Option(help="Picture to write (.png or .svg); may be given again.")
    ] = None,
) -> None:
    """Who gets what when models compete: the four allocation policies on the same simulated demands."""
    from veilstream.bench.allocation import table
    from veilstream.bench.allocation.measure import measure
    from veilstream.bench.allocation.plot import check_path, draw

    for path in plot or ():
        check_path(path)
    result = measure(
        workload, seed=seed, seeds=seeds, scale=scale, say=lambda line: print(line, file=sys.stderr)
    )
    for path in plot or ():
        draw(result, path)
    if json:
        print_json(result)
        return
    print_table(f"{workload}: mean of {seeds} seeds (least–greatest)", *table.main(result))
    print_table("demands granted, % of each kind", *table.by_name(result, "part_by_kind", 100, 1))
    print_table("demands granted, of each model", *table.by_name(result, "by_model", 1, 0))
    print_table("share of the budget spent, %", *table.by_name(result, "budget_by_model", 100, 1))
    if "heterogeneity" in result:
        print_table("demands granted as they differ more, all at once", *table.heterogeneity(result))


@app.command()
def ledger(
    json: Json = False,
    people: Annotated[int, typer.Option(min=100, max=10_000_000, help="People in the store.")] = 1_000_000,
    window: Annotated[int, typer.Option(min=1, max=1_000_000, help="People in a window.")] = 1_000,
    concurrency: Annotated[
        int, typer.Option(min=1, max=256, help="Models that charge at once, under one budget.")
    ] = 8,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of these models.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="A timed run.")] = 5.0,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Repetitions, for the spread.")] = 3,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth", help="From 10,000 to a million people, 10 to 100,000 of them a window, instead."
        ),
    ] = False,
    rebuild: Annotated[
        int | None,
        typer.Option(min=10, max=10_000_000, help="A rebuild from so many journal entries, instead."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of people and windows.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small, in seconds: shows that it works, not how fast.")
    ] = False,
) -> None:
    """Charge people in a real store, until a real Kafka has it, beside pipelined HINCRBY in the same run."""
    from veilstream.bench.ledger.ground import ground
    from veilstream.bench.ledger.growth import growth as measure_growth
    from veilstream.bench.ledger.measure import measure
    from veilstream.bench.ledger.options import Options
    from veilstream.bench.ledger.rebuilding import rebuilding
    from veilstream.bench.pipeline.figures import rounded

    options = Options(
        people=people,
        window=min(window, people),
        concurrency=concurrency,
        processes=processes,
        seconds=seconds,
        repeat=repeat,
        seed=seed,
    )

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is taken down then, too
    with ground(options.quick() if quick else options) as here:
        if rebuild is not None:
            told: Any = rounded(run(rebuilding(here, rebuild, say)))
        else:
            told = rounded(run((measure_growth if growth else measure)(here, say)))
    if json:
        print_json(told)
    else:
        flat = [(key, value) for key, value in told.items() if not isinstance(value, list | dict)]
        print_table("ledger", ("", ""), flat)
        if "growth" in told:
            rows = told["growth"]
            print_table("growth", list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def alerts(
    json: Json = False,
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Budget events a second.")] = 1000.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="A timed run, after its warm-up.")] = 15.0,
    budgets: Annotated[int, typer.Option(min=1, max=1_000_000, help="Budgets that take turns.")] = 200,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Repetitions, for the spread.")] = 3,
    bootstrap: Annotated[
        str | None, typer.Option(help="A broker that is there; one of its own by default.")
    ] = None,
) -> None:
    """From a budget event to its alert on the topic, on a real Kafka, at a rate."""
    from veilstream.bench.alerts import measure

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is taken down then, too
    result = measure(rate=rate, seconds=seconds, budgets=budgets, repeat=repeat, bootstrap=bootstrap, say=say)
    if json:
        print_json(result)
    else:
        print_table("alerts", ("", ""), [(key, value) for key, value in result.items()])
