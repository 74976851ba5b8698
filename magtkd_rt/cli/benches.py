"""`magtkd bench`: its commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench_app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Measure this machine.",
)


@bench_app.command(epilog="  magtkd bench run --input talk.mp4 --json")
def run(
    input: Annotated[  # noqa: A002  (the option's name)
        Path, typer.Option("--input", metavar="FILE", help="A recording with speech.")
    ],
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    asr: Annotated[str, typer.Option(metavar="whisper|pocketsphinx")] = "pocketsphinx",
    threads: Annotated[int, typer.Option(min=1, help="Threads a model may compute on.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Hear a recording twice and tell what it cost.

    First by magtkd-live in a process of its own, as fast as it can:
    time to listening, peak memory, cost of transcription.
    Then in real time with the words already known:
    cost of everything else, and how long a result takes after the endpoint.
    """
    from magtkd_rt.cli.bench import run_bench

    run_bench(input, bundle=bundle, asr=asr, threads=threads, json=json)


@bench_app.command("live", epilog="  magtkd bench live --input talk.mp4 --loops 10")
def bench_live(
    input: Annotated[  # noqa: A002  (the option's name)
        Path, typer.Option("--input", metavar="FILE", help="A recording with speech.")
    ],
    loops: Annotated[int, typer.Option(min=1, help="How often it is heard, without a break.")] = 1,
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    asr: Annotated[str, typer.Option(metavar="whisper|pocketsphinx|none")] = "pocketsphinx",
    whisper_model: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="Whisper's weights: a size, or a directory."),
    ] = None,
    fps: Annotated[float, typer.Option(help="Pictures a second that are looked at.")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads a model may compute on.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Hear a recording in real time and tell how it fared.

    Lag, latency by part, processor, memory and losses of the whole pipeline,
    transcription and provisional results included.
    """
    from magtkd_rt.cli.bench import run_bench_live

    flags = {
        "input": input,
        "bundle": bundle,
        "asr": asr,
        "whisper_model": whisper_model,
        "fps": fps,
        "threads": threads,
    }
    run_bench_live(flags, loops=loops, json=json)


@bench_app.command(epilog="  magtkd bench speakers --audio call.wav --rttm call.rttm --out report")
def speakers(
    audio: Annotated[Path, typer.Option(metavar="FILE", help="A recording of several people.")],
    rttm: Annotated[
        Path, typer.Option(metavar="FILE", help="Who speaks when in it; see docs/speakers.md.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where results, turns and the timeline's picture go."),
    ] = None,
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    threads: Annotated[int, typer.Option(min=1, help="Threads a model may compute on.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Hear a recording and tell how well its speakers are told apart.

    An STM file of the RTTM file's name beside it tells the turns more finely.
    """
    from magtkd_rt.cli.speakers import bench_speakers

    bench_speakers(audio, rttm, out, bundle=bundle, threads=threads, json=json)


@bench_app.command("senders", epilog="  magtkd bench senders --input call.wav --count 8 --asr none")
def bench_senders(
    input: Annotated[  # noqa: A002  (the option's name)
        Path, typer.Option("--input", metavar="FILE", help="A recording with speech.")
    ],
    count: Annotated[int, typer.Option(min=1, help="How many send it at once.")] = 8,
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    asr: Annotated[str, typer.Option(metavar="whisper|pocketsphinx|none")] = "none",
    fps: Annotated[float, typer.Option(help="Pictures a second that are sent.")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads a model may compute on.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Send a recording to a server of its own: once alone, then several times at once.

    Lag, latency, processor and memory of the server,
    and whether everybody gets the same results as one alone.
    """
    from magtkd_rt.cli.bench_server import run_bench_senders

    options = [f"--bundle={bundle}", f"--asr={asr}", f"--threads={threads}"]
    run_bench_senders(input, count=count, fps=fps, options=options, json=json)


@bench_app.command(
    "subscribers", epilog="  magtkd bench subscribers --reconnects 1000 --churn 10000"
)
def bench_subscribers(
    count: Annotated[int, typer.Option(min=0, help="Subscribers; 0 leaves this out.")] = 1000,
    rate: Annotated[float, typer.Option(min=0.1, help="Events a second.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, help="For how long.")] = 30.0,
    stalled: Annotated[
        bool, typer.Option("--stalled", help="One more subscriber connects and never reads.")
    ] = False,
    reconnects: Annotated[
        int,
        typer.Option(min=0, help="Cut so many connections of clients that come back."),
    ] = 0,
    churn: Annotated[
        int, typer.Option(min=0, help="Connect and disconnect so often, and look at the memory.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Subscribe to a server of its own, whose session is made up.

    How late events arrive, what the server costs, and whether anything is lost or kept.
    """
    from magtkd_rt.cli.bench_subscribers import run_bench_subscribers

    run_bench_subscribers(
        count=count,
        rate=rate,
        seconds=seconds,
        stalled=stalled,
        reconnects=reconnects,
        churn=churn,
        json=json,
    )


@bench_app.command("engines", epilog="  magtkd bench engines --engine onnx --json")
def bench_engines(
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    engine: Annotated[
        str, typer.Option(metavar="auto|onnx|eager|inductor|tensorrt", help="What runs them.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads a graph may compute on.")] = 2,
    full_size: Annotated[
        bool,
        typer.Option(
            "--full-size",
            help="Encoders of the published sizes with random weights, made once in the cache.",
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each size, at most.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Time every graph and a whole utterance, beside the default engine in 32 bits.

    Median, 99th percentile and the first run apart, with 1 to 64 rows where a graph takes several;
    and which share of the time memory and processor would need at least,
    by a large copy and a large matrix product measured in the same run.
    With --full-size: RoBERTa-large with 128 tokens, data2vec-audio-base with 4 s,
    TimeSformer-base with 8 x 224, and MAGT with d 768, 8 heads and a window of 32.
    """
    from magtkd_rt.cli.bench_engines import run_bench_engines

    run_bench_engines(
        bundle, engine, threads=threads, seconds=seconds, full_size=full_size, json=json
    )


@bench_app.command(
    "capacity", epilog="  magtkd bench capacity --input call.wav --rttm call.rttm --out trials.json"
)
def bench_capacity(
    input: Annotated[  # noqa: A002  (the option's name)
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A recording whose voices are used.",
            show_default="made voices",
        ),
    ] = None,
    rttm: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who speaks when in it, so how turns are taken.",
            show_default="the speech detector; without a recording, a telephone call",
        ),
    ] = None,
    bundle: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = "starter",
    asr: Annotated[
        str,
        typer.Option(
            metavar="made-up|whisper|pocketsphinx|none",
            help="Who transcribes; made-up words cost nothing.",
        ),
    ] = "made-up",
    engine: Annotated[
        str, typer.Option(metavar="auto|onnx|eager|inductor|tensorrt", help="What runs them.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda", help="Where they may run.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads a model may compute on.")] = 1,
    least: Annotated[int, typer.Option(min=1, help="Conversations to begin the search with.")] = 1,
    most: Annotated[int, typer.Option(min=1, help="Conversations to try at most.")] = 512,
    seconds: Annotated[float, typer.Option(min=1, help="That a trial measures.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the first conversation.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Keep every trial there; the same search goes on from them."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Find how many conversations fit on this machine, by search.

    Conversations are made up, each another one: turns are as long, follow each other as closely
    and overlap as much as in a real one, and are spoken in real time.
    They fit while 95 % of the observed lag is under a second and nothing is dropped.
    """
    from magtkd_rt.cli.bench_capacity import run_bench_capacity

    run_bench_capacity(
        input,
        rttm,
        out,
        models={
            "bundle": bundle,
            "asr": asr,
            "engine": engine,
            "device": device,
            "threads": threads,
        },
        least=least,
        most=most,
        seconds=seconds,
        seed=seed,
        json=json,
    )
