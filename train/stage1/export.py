"""Recipe: a full-size run and a trained MAGT to a bundle that the live runtime opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from magtkd_rt.asr import TEXT_CONFIDENCE_THRESHOLD
from magtkd_rt.bundle.golden import GoldenCase, write_golden
from magtkd_rt.bundle.manifest import (
    AudioPreprocessing,
    Calibration,
    Corpus,
    ExampleTurn,
    Fusion,
    Graph,
    GraphName,
    Manifest,
    Preprocessing,
    PromptExample,
    StateArray,
    Temperatures,
    TextPreprocessing,
    VideoPreprocessing,
    Words,
)
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.errors import EngineError, InputError
from magtkd_rt.features.prompt import SPEAKER_TOKENS, PromptEncoder, PromptWords
from magtkd_rt.models.magt import MagtConfig, MagtState, StreamingMagt
from magtkd_rt.train.cases import audio_cases, prompt_case, step_graph, video_cases
from magtkd_rt.train.graphs import (
    Exportable,
    golden_cases,
    module_cases,
    run_onnx,
    to_onnx,
)
from magtkd_rt.train.metrics import fit_temperature
from magtkd_rt.train.stage1.encoded import read_encoded
from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.graphs import PictureGraph, SoundGraph, TextGraph
from magtkd_rt.train.stage1.inputs import SHORTEST_SOUND, colours_of
from magtkd_rt.train.stage1.pretrained import load_tokenizer, processor_of, tokenizer_file
from magtkd_rt.train.stage1.settings import Settings
from magtkd_rt.train.stage1.voices import Voices
from magtkd_rt.train.stored import store_half

ALLOWED: Final = 0.02
"""How far a graph whose weights are stored in 16 bits may be from the module."""
TURNS: Final = (
    Turn(0, "Well, hello."),
    Turn(1, "I can't believe it!"),
    Turn(0, "Why not?"),
)


@dataclass(frozen=True)
class Fused:
    """What stage 2 learned.

    Attributes:
        magt: the streaming one.
        adapt: of text, audio and video: (b, d of stage 1) -> (b, feature size of `magt`).
        temperature: of its logits, fitted on dev.
        abstain: the confidence under which it says nothing.
    """

    magt: StreamingMagt
    adapt: tuple[nn.Module, nn.Module, nn.Module]
    temperature: float
    abstain: float


def export_run(
    run: Path,
    fused: Fused,
    target: Path,
    *,
    licence: str,
    corpus: Corpus,
    voices: Voices | None = None,
) -> Bundle:
    """Write a bundle from the folder of a run.

    Args:
        run: the `OUT` of `magtkd train all`, with text, audio and video.
        fused: of stage 2, trained on the run's `features.npz`.
        target: the bundle's directory; an older bundle there is replaced once the new one is whole.
        licence: of the weights.
        corpus: what they learned from.
        voices: tells speakers apart; without it all that is said has one speaker.

    Raises:
        InputError: a stage is missing, or the pictures are not those of the live runtime.
        EngineError: a graph does not say what its module says.
    """
    settings, labels = read_record(run)
    if settings.video.view != "live":
        raise InputError(
            f"the video of {run} was trained on {settings.video.view} pictures, which the live "
            "runtime does not give",
            remedy='set view = "live" in [video] and train video and distil anew',
        )
    stages = {m: stage_of(run, m) for m in ("text", "audio", "video")}
    graphs = _graphs(run, stages, settings, len(labels), fused)
    described, golden = write_graphs(graphs, run / "graphs")
    files: dict[str, bytes | Path] = {
        graph.file: run / "graphs" / graph.file for graph in described.values()
    }
    if voices:
        described = described | voices.graphs
        golden = golden + voices.golden
        files |= voices.files
    manifest = manifest_of(
        target.name,
        settings,
        labels,
        described,
        fused.magt.config,
        Calibration(
            temperature=_temperatures(run, stages, fused),
            abstain_threshold=fused.abstain,
            text_confidence_threshold=TEXT_CONFIDENCE_THRESHOLD,
        ),
        licence=licence,
        corpus=corpus,
        voices=voices,
    )
    files |= {
        "tokenizer.json": tokenizer_file(settings.text.model),
        "golden.npz": write_golden(golden),
        "MODEL_CARD.md": _card(run, stages, target.name, corpus, licence, voices).encode(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_bundle(target, manifest, files)


def manifest_of(
    name: str,
    settings: Settings,
    labels: Sequence[str],
    graphs: dict[GraphName, Graph],
    config: MagtConfig,
    calibration: Calibration,
    *,
    licence: str,
    corpus: Corpus,
    voices: Voices | None = None,
) -> Manifest:
    """What a bundle of full-size encoders says of itself.

    Args:
        name: of the bundle.
        settings: of the run that its encoders are of.
        labels: in the order of the logits.
        graphs: as they were written.
        config: of the MAGT.
        calibration: of its results.
        licence: of the weights.
        corpus: what they learned from.
        voices: tells speakers apart, if anything does.
    """
    text = settings.text
    prompts = PromptEncoder(load_tokenizer(text.model), text.max_tokens)
    empty = MagtState.empty(config)
    return Manifest(
        name=name,
        version="1",
        licence=licence,
        data=[corpus, *(voices.data if voices else ())],
        created=datetime.now(UTC).replace(microsecond=0),
        labels=list(labels),
        feature_size=config.feature_size,
        preprocessing=Preprocessing(
            text=TextPreprocessing(
                max_tokens=text.max_tokens,
                words=Words(**asdict(PromptWords())),
                speakers=len(SPEAKER_TOKENS),
                examples=[
                    PromptExample(
                        turns=[ExampleTurn(speaker=t.speaker, text=t.text) for t in TURNS[:count]],
                        input_ids=prompts.encode(TURNS[:count]).input_ids,
                    )
                    for count in (1, 3)
                ],
            ),
            audio=AudioPreprocessing(
                min_samples=SHORTEST_SOUND, max_seconds=settings.audio.longest
            ),
            video=VideoPreprocessing(max_faces=settings.video.frames),
            speaker=voices.speaker if voices else None,
            identity=voices.identity if voices else None,
        ),
        graphs=graphs,
        fusion=Fusion(
            window=config.window,
            right_context=config.right,
            speakers=config.speakers - 1,
            state=[
                StateArray(name=name, shape=list(getattr(empty, name).shape[1:]), dtype="float32")
                for name in ("keys", "values", "valid")
            ],
        ),
        calibration=calibration,
    )


def read_record(run: Path) -> tuple[Settings, list[str]]:
    """Settings and labels of a run.

    Raises:
        InputError: there is no run, or it is damaged.
    """
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        return Settings.model_validate(record["settings"]), list(record["corpus"]["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no run in {run} ({' '.join(str(error).split())[:200]})",
            remedy="name the folder of a `magtkd train all`",
        ) from error


def stage_of(run: Path, modality: str) -> str:
    """Which stage's encoder of a modality counts: the distilled one, if there is one.

    Raises:
        InputError: there is none.
    """
    for stage in (f"{modality}_distilled", modality):
        if (run / stage / "best.pt").exists() and (run / "encoded" / f"{stage}.npz").exists():
            return stage
    raise InputError(
        f"the stage {modality} has not been run in {run}", remedy=f"magtkd train {modality} first"
    )


def _graphs(
    run: Path, stages: Mapping[str, str], settings: Settings, classes: int, fused: Fused
) -> dict[GraphName, Exportable]:
    size, text, audio, video = settings.run.size, settings.text, settings.audio, settings.video
    prompts = PromptEncoder(load_tokenizer(text.model), text.max_tokens)
    words = TextEncoder(text.model, prompts.vocabulary_size, size, classes, pretrained=False)
    voice = SoundEncoder(audio.model, size, classes, pretrained=False)
    face = PictureEncoder(video.model, size, classes, video.frames, pretrained=False)
    for modality, encoder in (("text", words), ("audio", voice), ("video", face)):
        best = run / stages[modality] / "best.pt"
        encoder.load_state_dict(torch.load(best, weights_only=True, map_location="cpu"))
    return graphs_of(settings, prompts, (words, voice, face), fused.adapt, fused.magt)


def graphs_of(
    settings: Settings,
    prompts: PromptEncoder,
    encoders: tuple[TextEncoder, SoundEncoder, PictureEncoder],
    adapt: tuple[nn.Module, nn.Module, nn.Module],
    magt: StreamingMagt,
) -> dict[GraphName, Exportable]:
    """The graphs of a bundle of full-size encoders.

    Args:
        settings: name the checkpoints whose processors count.
        prompts: of the text encoder.
        encoders: of stage 1.
        adapt: what comes after each, (b, d) -> (b, feature size of `magt`).
        magt: of stage 2.
    """
    words, voice, face = encoders
    encoded = ["feature", "logits"]
    normalise = bool(processor_of(settings.audio.model).get("do_normalize", True))
    return {
        "text": Exportable(
            TextGraph(words, adapt[0]), _text_cases(prompts), encoded, {"input_ids": 1}
        ),
        "audio": Exportable(
            SoundGraph(voice, adapt[1], normalise), audio_cases(), encoded, {"waveform": 1}
        ),
        "video": Exportable(
            PictureGraph(face, adapt[2], colours_of(settings.video.model)),
            video_cases(),
            encoded,
            {"faces": 0},
        ),
        "fusion": step_graph(magt),
    }


def _text_cases(prompts: PromptEncoder) -> list[dict[str, Tensor]]:
    """A dialogue's third, first and second prompt."""
    return [prompt_case(prompts.encode(TURNS[:count])) for count in (3, 1, 2)]


def write_graphs(
    graphs: Mapping[GraphName, Exportable], folder: Path
) -> tuple[dict[GraphName, Graph], list[GoldenCase]]:
    """Export every graph, store its weights in 16 bits, and compare it with its module.

    Raises:
        EngineError: one says something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[GraphName, Graph] = {}
    golden: list[GoldenCase] = []
    for name, graph in graphs.items():
        path = folder / f"{name}.onnx"
        to_onnx(graph, path)
        store_half(path, {buffer for buffer, _ in graph.module.named_buffers()})
        for case in module_cases(name, graph):
            got = run_onnx(path, case.inputs)
            apart = max(
                float(np.abs(one - other).max())
                for one, other in zip(got, case.outputs.values(), strict=True)
            )
            Console().log(f"{name} {case.name}: {apart:.2g} from the module")
            if not apart <= ALLOWED:
                raise EngineError(
                    f"the exported graph {name!r} is {apart:.3g} from the module",
                    remedy="report it with the versions of torch and onnxruntime",
                )
        golden += golden_cases(name, graph, path)
        described[name] = Graph(
            file=path.name,
            inputs=list(graph.cases[0]),
            outputs=graph.outputs,
            precision="float16",
            tolerance=0.005,
        )
    return described, golden


def _temperatures(run: Path, stages: Mapping[str, str], fused: Fused) -> Temperatures:
    """Of each modality alone, on dev."""
    with np.load(run / "features.npz", allow_pickle=False) as archive:
        labels = archive["dev_label"]
    found: dict[str, float] = {}
    for modality, stage in stages.items():
        dev = read_encoded(run, stage)["dev"]
        found[modality] = fit_temperature(labels[dev.present], dev.logits[dev.present])
    return Temperatures(fused=fused.temperature, **found)


def _card(
    run: Path,
    stages: Mapping[str, str],
    name: str,
    corpus: Corpus,
    licence: str,
    voices: Voices | None,
) -> str:
    """What it was made of and how good its parts are, from the run's own record."""
    record: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    lines = [
        f"# {name}",
        "",
        f"Full-size encoders and MAGT, trained on {corpus.name} ({corpus.licence}). {licence}.",
        "It tells expression, not inner state, and has not been tried on other people or places.",
        "",
        "| part | checkpoint it began with | weighted F1 dev | test |",
        "|---|---|---|---|",
    ]
    for modality, stage in stages.items():
        scores = json.loads((run / stage / "metrics.json").read_text(encoding="utf-8"))
        told = [
            f"{100 * scores['weighted_f1'].get(split, np.nan):.1f}" for split in ("dev", "test")
        ]
        model = record["settings"][modality]["model"]
        lines.append(f"| {stage} | {Path(model).name} | {told[0]} | {told[1]} |")
    if voices:
        lines += [
            "",
            f"Speakers are told apart by the voice graphs of the bundle {voices.source}: "
            + "; ".join(f"{g.origin} ({g.licence})" for g in voices.graphs.values())
            + ".",
        ]
        lines += [f"- {one.name} ({one.licence}): {one.use}." for one in voices.data]
    versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    hashes = ", ".join(f"{file} {value[:16]}" for file, value in record["corpus"]["sha256"].items())
    lines += ["", f"Versions: {versions}.", "", f"Data (first digits of SHA-256): {hashes}.", ""]
    return "\n".join(lines)
