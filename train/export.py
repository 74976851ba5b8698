"""Recipe: from trained students and fusion to a bundle: graphs, golden vectors, calibration."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from magtkd_rt.asr import TEXT_CONFIDENCE_THRESHOLD
from magtkd_rt.bundle.golden import write_golden
from magtkd_rt.bundle.manifest import (
    AudioPreprocessing,
    Calibration,
    Corpus,
    ExampleTurn,
    Fusion,
    Graph,
    GraphName,
    IdentityPreprocessing,
    Manifest,
    Preprocessing,
    PromptExample,
    SpeakerPreprocessing,
    StateArray,
    Temperatures,
    TextPreprocessing,
    VideoPreprocessing,
    Words,
)
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.errors import EngineError
from magtkd_rt.features.fit import fit_waveform
from magtkd_rt.features.prompt import SPEAKER_TOKENS, PromptWords
from magtkd_rt.labels import LABELS
from magtkd_rt.models.audio import MIN_SAMPLES, AudioStudent
from magtkd_rt.models.identity import FRONT_END as IDENTITY_FRONT_END
from magtkd_rt.models.identity import IdentityEncoder
from magtkd_rt.models.magt import MagtState, PaperMagt, StreamingMagt
from magtkd_rt.models.speaker import FRONT_END, SpeakerEncoder
from magtkd_rt.models.text import TextStudent
from magtkd_rt.models.video import VideoStudent
from magtkd_rt.train import fusion as fusions
from magtkd_rt.train import identity as identities
from magtkd_rt.train import speaker as speakers
from magtkd_rt.train.cases import (
    audio_cases,
    paper_cases,
    prompt_case,
    step_graph,
    text_cases,
    video_cases,
)
from magtkd_rt.train.corpora.starter import read_meld, read_ravdess, read_sound
from magtkd_rt.train.fusion import Split
from magtkd_rt.train.graphs import (
    Exportable,
    PaperGraph,
    golden_cases,
    least_likeness,
    module_cases,
    run_onnx,
    same_decisions,
    to_onnx,
)
from magtkd_rt.train.metrics import fit_temperature, softmax
from magtkd_rt.train.stored import SMALLEST, store_bases, store_bytes, store_half
from magtkd_rt.train.text import MAX_TOKENS, minilm_folder, prompt_encoder, prompts_of

Arrays = dict[str, NDArray[np.generic]]
PAIRING_SEEDS = (11, 12, 13)
"""Seeds of the pairings that evaluation uses."""
IN_BYTES: Final[Mapping[GraphName, Collection[str]]] = {
    "text": (),
    "audio": ("melody.weight_ih_l0", "melody.weight_hh_l0"),
    "paper": (),
    "identity": ("whiten", "log_mel.filters", "head.*.weight", "*scale.*"),
}
"""Graphs stored in 8 bits, each with patterns of the weights that have to keep 16 in it.

An LSTM that reads the powers of sound, which differ by orders of magnitude, lost too much: the
voice's logits moved by up to 1; with that in 16 bits, by 0.08. With the identity's convolutions
over the spectrum in 8 bits, its vectors on dev were alike by 0.973 at least, instead of 0.987.
"""
SMALLEST_BYTES: Final[Mapping[GraphName, int]] = {"identity": 2048}
"""Entries of a weight from which on it is stored in 8 bits, where not as usual: it has many."""
SAME_DECISIONS = 0.99
"""Least share of dev that a graph stored in 8 bits decides as its module does."""
ALIKE = 0.98
"""Least cosine of its vectors with its module's, where it gives vectors."""
ORIGINS: Final[Mapping[GraphName, tuple[str, str]]] = {
    "speaker": (speakers.ORIGIN, speakers.LICENCE),
    "identity": (identities.ORIGIN, identities.LICENCE),
}
"""Of weights that were taken over as they came, and their licence."""

CORPORA = [
    Corpus(name="MELD", licence="GPL-3.0 repository; dialogue of a TV series, research use",
           use="words: train, dev for selection, test for the report"),
    Corpus(name="RAVDESS", licence="CC BY-NC-SA 4.0",
           use="voices and who speaks: actors 1-18, 19-20 for selection, 21-24 for the report"),
    Corpus(name="FER2013", licence="unclear; research use",
           use="faces: train, public test for selection, private test for the report"),
    Corpus(name="AudioSet, through YAMNet's weights", licence="weights Apache-2.0",
           use="part of the audio student, as they came"),
    Corpus(name="all-MiniLM-L6-v2", licence="weights Apache-2.0", use="start of the text student"),
    Corpus(name="Resemblyzer's voice encoder", licence="weights Apache-2.0",
           use="tells speakers apart, and part of the audio student"),
    Corpus(name="CAM++, 3D-Speaker's voice encoder", licence="weights Apache-2.0",
           use="names speakers"),
]  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """Everything that training made."""

    text: TextStudent
    audio: AudioStudent
    video: VideoStudent
    streaming: StreamingMagt
    paper: PaperMagt
    speaker: SpeakerEncoder
    identity: IdentityEncoder
    splits: dict[str, Split]
    shares: NDArray[np.float64]
    unheard: NDArray[np.float32]
    """(n, classes): the training voices by heads that have not heard who speaks."""


def exportables(trained: Trained, data: Path) -> dict[GraphName, Exportable]:
    """The graphs of a bundle."""
    encoded = ["feature", "logits"]
    rows = dict.fromkeys(("text", "audio", "video", "present", "speaker"), 0)
    return {
        "text": Exportable(trained.text, text_cases(data), encoded, {"input_ids": 1}),
        "audio": Exportable(trained.audio, audio_cases(), encoded, {"waveform": 1}),
        "video": Exportable(trained.video, video_cases(), encoded, {"faces": 0}),
        "fusion": step_graph(trained.streaming),
        "paper": Exportable(
            PaperGraph(trained.paper), paper_cases(trained.paper), ["logits"], rows
        ),
        "speaker": Exportable(
            trained.speaker, speakers.speaker_cases(), ["voice"], {"waveform": 0}
        ),
        "identity": Exportable(
            trained.identity, identities.identity_cases(), ["voice"], {"waveform": 0}
        ),
    }


def dev_cases(name: GraphName, trained: Trained, data: Path) -> Iterator[dict[str, Tensor]]:
    """What a graph of `IN_BYTES` is judged by: dev's prompts (400), voices, paired dialogues."""
    if name == "text":
        encoder = prompt_encoder()
        prompts = (p for d in read_meld(data, "dev") for p in prompts_of(d, encoder))
        yield from map(prompt_case, islice(prompts, 400))
    elif name == "audio":
        for clip in read_ravdess(data, "dev"):
            sound = read_sound(clip.path)
            fitted = fit_waveform(sound, MIN_SAMPLES, max_samples=max(MIN_SAMPLES, len(sound)))
            yield {"waveform": torch.from_numpy(fitted).unsqueeze(0)}
    elif name == "identity":
        sounds, _ = identities.read_identities(data, "dev")
        for sound in torch.from_numpy(sounds):
            yield {"waveform": sound.unsqueeze(0)}
    else:
        unknown = trained.paper.config.speakers - 1
        for dialogue in trained.splits["dev"].pair(trained.shares, PAIRING_SEEDS[0]):
            features, speaker, _ = fusions.collate([dialogue], unknown)
            yield {
                **dict(zip(("text", "audio", "video"), features[0].unbind(1), strict=True)),
                "present": fusions.presence([dialogue])[0].bool(),
                "speaker": speaker[0],
            }


def in_bytes(name: GraphName, path: Path, exact: Collection[str]) -> None:
    """Store a graph of `IN_BYTES` in 8 bits; what is in `exact` keeps 32, unless it gets 16."""
    wide = IN_BYTES[name]
    store_bytes(path, {*exact} - {*wide}, wide, SMALLEST_BYTES.get(name, SMALLEST))


def judge_bytes(
    name: GraphName, path: Path, graph: Exportable, cases: Iterable[dict[str, Tensor]]
) -> None:
    """Refuse a graph stored in 8 bits that says other things than its module.

    Raises:
        EngineError: it does.
    """
    if "logits" in graph.outputs:
        found, least = same_decisions(path, graph, cases), SAME_DECISIONS
        told = f"decides the same on {found:.1%} of dev"
    else:
        found, least = least_likeness(path, graph, cases), ALIKE
        told = f"gives vectors alike by {found:.3f} on all of dev"
    Console().log(f"{name} in 8 bits {told}")
    if found < least:
        raise EngineError(
            f"the graph {name!r} in 8 bits {told} only",
            remedy="store it in 16 bits: see IN_BYTES",
        )


def write_graphs(
    graphs: dict[GraphName, Exportable], trained: Trained, data: Path, folder: Path
) -> dict[GraphName, Graph]:
    """Export, shrink and check every graph."""
    described: dict[GraphName, Graph] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        path = folder / f"{name}.onnx"
        to_onnx(graph, path)
        exact = {buffer for buffer, _ in graph.module.named_buffers()}
        store_bases(path)
        precision, allowed = ("int8", 0.3) if name in IN_BYTES else ("float16", 0.02)
        if name in IN_BYTES:
            in_bytes(name, path, exact)
            judge_bytes(name, path, graph, dev_cases(name, trained, data))
        else:
            store_half(path, exact)
        for case in module_cases(name, graph):
            got = run_onnx(path, case.inputs)
            apart = max(
                float(np.abs(a - b).max()) for a, b in zip(got, case.outputs.values(), strict=True)
            )
            Console().log(f"{name} {case.name}: {apart:.2g} from the module")
            if not apart <= allowed:
                raise EngineError(
                    f"the exported graph {name!r} is {apart:.3g} from the module",
                    remedy="report it with the versions of torch and onnxruntime",
                )
        origin, licence = ORIGINS.get(name, (None, None))
        described[name] = Graph(
            file=path.name,
            inputs=list(graph.cases[0]),
            outputs=graph.outputs,
            precision=precision,  # type: ignore[arg-type]
            tolerance=0.005,
            origin=origin,
            licence=licence,
        )
    return described


def calibrate(trained: Trained) -> tuple[Temperatures, float]:
    """Temperatures on what was not learned from, and the confidence of the least sure tenth.

    That is the dev splits, and for voices, whose dev split has two actors only, the training clips
    by heads that have not heard who speaks.
    """
    train, dev = trained.splits["train"], trained.splits["dev"]
    paired = dev.pair(trained.shares, PAIRING_SEEDS[0])
    labels = fusions.labels_of(paired)
    views = [
        fusions.predict(trained.streaming, paired),
        fusions.predict(trained.streaming, paired, (True, False, False)),
    ]
    logits, targets = np.concatenate(views), np.concatenate([labels, labels])
    temperatures = Temperatures(
        fused=fit_temperature(targets, logits),
        text=fit_temperature(dev.texts[0].labels, dev.texts[0].logits),
        audio=fit_temperature(train.voices.labels, trained.unheard),
        video=fit_temperature(dev.faces.labels, dev.faces.logits),
    )
    confidence = softmax(logits / temperatures.fused).max(axis=1)
    return temperatures, round(float(np.percentile(confidence, 10)), 3)


def export_bundle(
    trained: Trained, data: Path, out: Path, *, name: str, card: str, max_faces: int = 8
) -> Bundle:
    """Write the bundle to `out / name`, with golden vectors and calibration."""
    graphs = exportables(trained, data)
    folder = out / "graphs"
    described = write_graphs(graphs, trained, data, folder)
    temperatures, abstain = calibrate(trained)
    config = trained.streaming.config
    empty = MagtState.empty(config)
    encoder = prompt_encoder()
    turns = [Turn(0, "Well, hello."), Turn(1, "I can't believe it!"), Turn(0, "why not")]
    manifest = Manifest(
        name=name,
        version="1",
        licence="research use only: trained on non-commercial data, see the model card",
        data=CORPORA,
        created=datetime.now(UTC).replace(microsecond=0),
        labels=list(LABELS),
        feature_size=config.feature_size,
        preprocessing=Preprocessing(
            text=TextPreprocessing(
                max_tokens=MAX_TOKENS,
                words=Words(**asdict(PromptWords())),
                speakers=len(SPEAKER_TOKENS),
                examples=[
                    PromptExample(
                        turns=[ExampleTurn(speaker=t.speaker, text=t.text) for t in turns[:count]],
                        input_ids=encoder.encode(turns[:count]).input_ids,
                    )
                    for count in (1, 3)
                ],
            ),
            audio=AudioPreprocessing(min_samples=MIN_SAMPLES, max_seconds=10.0),
            video=VideoPreprocessing(max_faces=max_faces),
            speaker=SpeakerPreprocessing(
                vector_size=trained.speaker.linear.out_features, front_end=FRONT_END
            ),
            identity=IdentityPreprocessing(
                vector_size=len(trained.identity.mean), front_end=IDENTITY_FRONT_END
            ),
        ),
        graphs=described,
        fusion=Fusion(
            window=config.window,
            right_context=config.right,
            speakers=config.speakers - 1,
            state=[
                StateArray(name=key, shape=list(tensor.shape[1:]), dtype="float32")
                for key, tensor in (
                    ("keys", empty.keys),
                    ("values", empty.values),
                    ("valid", empty.valid),
                )
            ],
        ),
        calibration=Calibration(
            temperature=temperatures,
            abstain_threshold=abstain,
            text_confidence_threshold=TEXT_CONFIDENCE_THRESHOLD,
        ),
    )
    golden = [
        case
        for graph, one in graphs.items()
        for case in golden_cases(graph, one, folder / described[graph].file)
    ]
    pairing = {
        "exchange": {split: asdict(s.exchange) for split, s in trained.splits.items()},
        "shares": trained.shares.tolist(),
        "seeds": list(PAIRING_SEEDS),
    }
    files: dict[str, bytes | Path] = {
        **{graph.file: folder / graph.file for graph in described.values()},
        "tokenizer.json": minilm_folder() / "tokenizer.json",
        "golden.npz": write_golden(golden),
        "MODEL_CARD.md": card.encode(),
        "pairing.json": json.dumps(pairing, indent=1).encode(),
    }
    return write_bundle(out / name, manifest, files)
