"""The options of models and results, which `magtkd-live` and `magtkd serve` share."""

from __future__ import annotations

from typing import Annotated

import typer

AsrOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|whisper|pocketsphinx|none", help="Who transcribes.", show_default="auto"
    ),
]
WhisperModelOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="Whisper's weights: a size, or a directory."),
]
BundleOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="The trained models.", show_default="starter"),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|onnx|eager|inductor|tensorrt",
        help="What runs the models, of what `magtkd compile` built; onnx needs nothing built.",
        show_default="auto: the fastest",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda",
        help="Where models may run, of what `magtkd compile` built.",
        show_default="auto: either",
    ),
]
ProvisionalOption = Annotated[
    bool | None,
    typer.Option(
        "--provisional/--no-provisional",
        help="Results on the way, while somebody speaks in real time.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(help="Threads that a model may compute on.", show_default="2"),
]
