"""Recipe: MAGTKD's first stage on a corpus of one's own, one stage after the other.

    text            the teacher learns from the words
    audio, video    the students learn from the labels alone
    distil          the students learn anew, from the labels and the teacher
    fuse, export    stage 2, from `features.npz`, and the bundle

Each stage leaves its checkpoints in `OUT/STAGE`, what it says of every utterance in
`OUT/encoded/STAGE.npz`, and goes on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from rich.console import Console
from rich.progress import Progress
from torch import nn

from magtkd_rt.errors import DataError, InputError
from magtkd_rt.features.prompt import PromptEncoder
from magtkd_rt.train.corpora.iemocap import is_iemocap, read_iemocap
from magtkd_rt.train.corpora.recognise import read_corpus
from magtkd_rt.train.corpora.types import Corpus, Problem
from magtkd_rt.train.files import write_json
from magtkd_rt.train.loop import digest, seed_everything
from magtkd_rt.train.metrics import weighted_f1
from magtkd_rt.train.progress import progress_bar
from magtkd_rt.train.stage1.accelerated import accelerator_for
from magtkd_rt.train.stage1.encoded import Encoded, encode_all, read_encoded, write_features
from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.fit import Loss, Stage, fit
from magtkd_rt.train.stage1.inputs import Inputs, PictureInputs, SoundInputs, TextInputs
from magtkd_rt.train.stage1.objectives import cross_entropy, distillation
from magtkd_rt.train.stage1.prepare import PicturesWanted, SoundWanted, Wanted, prepare
from magtkd_rt.train.stage1.pretrained import config_of, load_tokenizer
from magtkd_rt.train.stage1.record import describe
from magtkd_rt.train.stage1.settings import Learning, Settings, read_settings

STAGES = ("text", "audio", "video", "distil")
FEATURES = "features.npz"


@dataclass(frozen=True)
class Run:
    """What every stage gets.

    Attributes:
        settings: the configuration.
        corpus: with train and dev, test where there is one.
        data: its folder.
        out: of the run.
    """

    settings: Settings
    corpus: Corpus
    data: Path
    out: Path
    accelerator: Accelerator
    bar: Progress

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return len(self.corpus.labels)


def train_stage1(config: Path, data: Path, out: Path, stages: Sequence[str] = STAGES) -> None:
    """Run stages of the first stage, in the order of `STAGES`, and write `features.npz`.

    Args:
        config: a TOML file, see `configs/`.
        data: the corpus: MELD.Raw, IEMOCAP_full_release or a manifest.
        out: everything goes there.
        stages: which to run.

    Raises:
        DataError: the corpus cannot be used.
        InputError: the configuration, a checkpoint or the folder cannot be used.
    """
    settings = read_settings(config)
    corpus = _corpus(data, settings)
    accelerator = accelerator_for(settings.run.precision)
    silent = not accelerator.is_main_process
    with progress_bar(Console(log_path=False, markup=False, quiet=silent), disable=silent) as bar:
        run = Run(settings, corpus, data, out, accelerator, bar)
        if accelerator.is_main_process:
            write_json(out / "run.json", describe(settings, corpus, data, accelerator))
        if "text" in stages:
            train_text(run)
        if "audio" in stages and _there(run, "audio", stages):
            train_audio(run)
        if "video" in stages and _there(run, "video", stages):
            train_video(run)
        if "distil" in stages:
            distil(run)
        gather_features(run)


def train_text(run: Run) -> None:
    """The teacher: RoBERTa with the prompt, causal as it stands."""
    chosen = run.settings.text
    tokenizer = load_tokenizer(chosen.model)
    prompts = PromptEncoder(tokenizer, chosen.max_tokens)
    inputs = {s: TextInputs(dialogues, prompts) for s, dialogues in run.corpus.splits.items()}
    seed_everything(run.settings.run.seed)
    size = run.settings.run.size
    model = TextEncoder(chosen.model, prompts.vocabulary_size, size, run.classes)
    labels_alone = cross_entropy(_labels(run, "train"), run.accelerator)
    _learn(run, "text", model, inputs, chosen, labels_alone)


def train_audio(run: Run) -> None:
    """The voice, from the labels alone."""
    inputs = _inputs(run, "audio")
    labels_alone = cross_entropy(_labels(run, "train"), run.accelerator)
    _learn(run, "audio", _student(run, "audio"), inputs, run.settings.audio, labels_alone)


def train_video(run: Run) -> None:
    """The face, from the labels alone."""
    inputs = _inputs(run, "video")
    labels_alone = cross_entropy(_labels(run, "train"), run.accelerator)
    _learn(run, "video", _student(run, "video"), inputs, run.settings.video, labels_alone)


def distil(run: Run) -> None:
    """Voice and face anew, from the labels and the teacher, which is frozen."""
    teacher = read_encoded(run.out, "text")["train"]
    if len(teacher.features) != len(_labels(run, "train")):
        raise InputError(
            f"the teacher in {run.out} learned from other data", remedy="name another --out"
        )
    for modality, learning in (("audio", run.settings.audio), ("video", run.settings.video)):
        if not _there(run, modality, STAGES):
            continue
        inputs = _inputs(run, modality)
        inputs["train"].usable &= teacher.present  # an utterance without words has no teacher
        loss = distillation(
            _labels(run, "train"),
            teacher.features,
            teacher.logits,
            run.settings.distil,
            run.accelerator,
        )
        of = digest(teacher.features, teacher.logits, run.settings.distil)
        _learn(run, f"{modality}_distilled", _student(run, modality), inputs, learning, loss, of)


def gather_features(run: Run) -> None:
    """Write the feature file for stage 2 of what there is, the distilled students before others."""
    encoded: dict[str, dict[str, Encoded]] = {}
    for modality in ("text", "audio", "video"):
        for stage in (f"{modality}_distilled", modality):
            if modality not in encoded and (run.out / "encoded" / f"{stage}.npz").exists():
                encoded[modality] = read_encoded(run.out, stage)
    if encoded and run.accelerator.is_main_process:
        write_features(run.corpus, encoded, run.out / FEATURES)


def _learn(
    run: Run,
    name: str,
    model: nn.Module,
    inputs: dict[str, Inputs] | dict[str, TextInputs],
    learning: Learning,
    loss: Loss,
    of: str = "",
) -> None:
    """Train one encoder, encode every split with it, and note how good it is."""
    splits: dict[str, Inputs] = dict(inputs)
    labels = {split: _labels(run, split) for split in run.corpus.splits}
    usable = [one.usable for one in splits.values()]
    depends = digest(of, run.settings.run.seed, learning, *labels.values(), *usable, _words(run))
    stage = Stage(name, splits, labels, learning, loss, depends, run.settings.run.seed)
    far = fit(model, stage, run.out, run.accelerator, run.bar)
    # Where padding cannot be masked, each sound is encoded alone, as it is heard live.
    batch = 1 if isinstance(model, SoundEncoder) and not model.masked else 4 * learning.batch
    encoded = encode_all(model, splits, run.out, name, run.accelerator, batch)
    scores = {
        split: weighted_f1(labels[split][one.present], one.logits[one.present].argmax(1))
        for split, one in encoded.items()
        if split != "train"
    }
    metrics = {
        "weighted_f1": scores,
        "dev_by_epoch": far.dev,
        "chosen_on": "dev",
        "utterances": {split: int(one.present.sum()) for split, one in encoded.items()},
    }
    if run.accelerator.is_main_process:
        write_json(run.out / name / "metrics.json", metrics)
    told = ", ".join(f"{split} {score:.3f}" for split, score in scores.items())
    run.bar.console.log(f"{name}: weighted F1 {told}")


def _student(run: Run, modality: str) -> nn.Module:
    seed_everything(run.settings.run.seed)
    size, audio, video = run.settings.run.size, run.settings.audio, run.settings.video
    if modality == "audio":
        frozen = audio.frozen_convolutions
        return SoundEncoder(audio.model, size, run.classes, frozen_convolutions=frozen)
    return PictureEncoder(video.model, size, run.classes, video.frames)


def _inputs(run: Run, modality: str) -> dict[str, Inputs]:
    """Inputs of every split from media that are decoded once; the unreadable are listed."""
    audio, video = run.settings.audio, run.settings.video
    inputs: dict[str, Inputs] = {}
    unreadable: list[Problem] = []
    # One process decodes, then the others find everything decoded.
    with run.accelerator.main_process_first():
        for split in run.corpus.splits:
            wanted: Wanted = SoundWanted(audio.longest)
            if modality == "video":
                wanted = PicturesWanted(video.frames, _side(run), video.view)
            bar = run.bar if run.accelerator.is_main_process else None
            media, workers = run.out / "media", run.settings.run.workers
            prepared = prepare(
                run.corpus.utterances(split), wanted, media, workers=workers, bar=bar
            )
            unreadable += [Problem(f"{split} {one.where}", one.what) for one in prepared.unreadable]
            inputs[split] = (
                SoundInputs(prepared.files, audio.model)
                if modality == "audio"
                else PictureInputs(prepared.files, video.model, _side(run))
            )
    if run.accelerator.is_main_process:
        write_json(run.out / f"unreadable_{modality}.json", [vars(one) for one in unreadable])
    if unreadable:
        run.bar.console.log(
            f"{len(unreadable)} utterances have {modality} that cannot be read and go without: "
            f"see {run.out / f'unreadable_{modality}.json'}"
        )
    return inputs


def _side(run: Run) -> int:
    """Width and height of the pictures that the checkpoint takes."""
    return int(config_of(run.settings.video.model).image_size)


def _there(run: Run, modality: str, stages: Sequence[str]) -> bool:
    """Whether the corpus has it; where it has not, and nothing else was asked for, is an error."""
    for split in ("train", "dev"):
        said = run.corpus.utterances(split)
        if not any((u.sound if modality == "audio" else u.picture) is not None for u in said):
            problem = f"{run.corpus.name} has no {modality} in its {split} split here"
            if tuple(stages) == (modality,):
                raise DataError(problem, remedy="see what `magtkd data check` says of it")
            run.bar.console.log(f"{problem}: it is left out")
            return False
    return True


def _labels(run: Run, split: str) -> np.ndarray:
    return np.array([u.label for u in run.corpus.utterances(split)], np.int64)


def _words(run: Run) -> list[tuple[str, int, str]]:
    """What tells one corpus from another."""
    splits = run.corpus.splits
    return [(u.name, u.speaker, u.text) for split in splits for u in run.corpus.utterances(split)]


def _corpus(data: Path, settings: Settings) -> Corpus:
    if is_iemocap(data):
        corpus = read_iemocap(data, settings.run.dev_share, settings.run.seed)
    else:
        corpus = read_corpus(data)
    for split in ("train", "dev"):
        if split not in corpus.splits:
            raise DataError(
                f"{corpus.name} in {data} has no {split} split",
                remedy="see what `magtkd data check` says of it",
            )
    return corpus
