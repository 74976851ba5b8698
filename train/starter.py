"""Recipe: the starter bundle, from the corpora to a measured bundle with its card.

Stages in order; each goes on where an earlier run stopped, and reads what earlier stages left in
the output folder: video, audio, text -> others -> fusion -> export -> card. The stage `others`
trains text students that leave a part of the dialogues out, for the fusion to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train import identity, speaker
from magtkd_rt.train.audio import load_audio, read_unheard, train_audio
from magtkd_rt.train.banks import Students, build_splits, label_shares
from magtkd_rt.train.card import render
from magtkd_rt.train.evaluate import evaluate, read_pairing
from magtkd_rt.train.export import CORPORA, Trained, export_bundle
from magtkd_rt.train.fusion import train_fusion
from magtkd_rt.train.identity import train_identity
from magtkd_rt.train.pairing import FACES
from magtkd_rt.train.speaker import train_speaker
from magtkd_rt.train.text import PARTS, TextRecipe, load_text, train_others, train_text
from magtkd_rt.train.video import load_video, train_video

STAGES = ("video", "audio", "text", "others", "fusion", "export", "card")
_LEFT = {
    "video": ("video/best.pt",),
    "audio": ("audio/best.pt", "audio/unheard.npz"),
    "text": ("text/best.pt",),
    "others": tuple(f"text-without-{part}/best.pt" for part in range(PARTS)),
}
"""What a stage leaves in the output folder for the fusion."""
NAME = "starter"


def train_starter(
    data: Path,
    out: Path,
    yamnet: Path | None = None,
    stages: Sequence[str] = STAGES,
    teacher: Path | None = None,
) -> None:
    """Train the starter bundle into `out / "starter"`.

    Args:
        data: folder with `meld`, `ravdess` and `fer2013`.
        out: checkpoints, encoded corpora, graphs, the bundle and its evaluation go here.
        yamnet: YAMNet's TFLite file; by default `models/yamnet.tflite` beside `data`.
        stages: which to run, of :data:`STAGES`.
        teacher: folder of a `magtkd train text`, whose full-size encoder the text student learns
            from as well.

    Raises:
        DataError: a corpus or YAMNet is missing.
        ExtraMissing: the packages with the voice encoders' weights are not installed.
        InputError: there is no such stage, or one needs an earlier one that has not been run.
    """
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise InputError(
            f"no stage {', '.join(sorted(unknown))}", remedy=f"choose of {', '.join(STAGES)}"
        )
    yamnet = yamnet or data.parent / "models" / "yamnet.tflite"
    if not yamnet.exists():
        raise DataError(f"YAMNet not found at {yamnet}", remedy="name its file with --yamnet FILE")
    if "audio" in stages or "export" in stages:
        speaker.weights_file()  # rather now than after hours of training
    if "export" in stages:
        identity.weights_file()
    out.mkdir(parents=True, exist_ok=True)
    if "video" in stages:
        train_video(data, out)
    if "audio" in stages:
        train_audio(data, out, yamnet)
    if "text" in stages:
        train_text(data, out, teacher_run=teacher)
    if "others" in stages:
        train_others(data, out)
    if "fusion" in stages or "export" in stages:
        trained = fuse(data, out)
        if "export" in stages:
            bundle = export_bundle(trained, data, out, name=NAME, card="")
            _write_card(bundle, None)
    if "card" in stages:
        bundle = Bundle.load(out / NAME)
        _write_card(bundle, evaluate(bundle.directory, data, out / "evaluation"))
        Console().log(f"the bundle is in {out / NAME}, its evaluation in {out / 'evaluation'}")


def fuse(data: Path, out: Path) -> Trained:
    """Train the fusion both ways on the students that earlier stages left in `out`.

    A finished fusion is only loaded, unless a student has changed since.
    """
    for stage, files in _LEFT.items():
        if not all((out / file).exists() for file in files):
            raise InputError(f"the stage {stage} has not been run", remedy="add it to --stages")
    students = Students(
        words := load_text(out),
        voice := load_audio(out),
        face := load_video(out),
        other_words=[load_text(out, f"text-without-{part}") for part in range(PARTS)],
        unheard=read_unheard(out),
    )
    splits = build_splits(data, out / "encoded", students)
    shares = label_shares(data)
    streaming, paper = (
        train_fusion(mode, splits["train"], splits["dev"], shares, words.classify, out)
        for mode in ("streaming", "paper")
    )
    return Trained(
        words, voice, face, streaming, paper,  # type: ignore[arg-type]
        train_speaker(data, out), train_identity(data, out),
        splits, shares, students.unheard.alone,
    )  # fmt: skip


def _write_card(bundle: Bundle, results: dict[str, Any] | None) -> None:
    """Write the bundle again with its card; graphs stay as they are."""
    manifest = bundle.manifest
    exchange = read_pairing(bundle).exchange
    facts = {
        "data": "\n".join(f"| {c.name} | {c.licence} | {c.use} |" for c in CORPORA),
        "max_tokens": manifest.preprocessing.text.max_tokens,
        "spoiled": TextRecipe().spoiled,
        "size": manifest.fusion.state[0].shape[1] * manifest.fusion.state[0].shape[3],
        "heads": manifest.fusion.state[0].shape[1],
        "window": manifest.fusion.window,
        "right": manifest.fusion.right_context,
        "faces": FACES,
        "exchange": "; ".join(
            f"{split}: "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in asdict(shares).items())
            for split, shares in exchange.items()
        ),
    }
    files: dict[str, bytes | Path] = {file: bundle.path(file) for file in manifest.files}
    files[manifest.card] = render(facts, results).encode()
    write_bundle(bundle.directory, manifest, files)
