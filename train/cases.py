"""Inputs with which graphs are exported and golden vectors made: few, short, mostly made up."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from magtkd_rt.features.prompt import Prompt
from magtkd_rt.models.audio import MIN_SAMPLES
from magtkd_rt.models.magt import MagtState, PaperMagt, StreamingMagt
from magtkd_rt.train.corpora.starter import read_meld
from magtkd_rt.train.graphs import Exportable, StepGraph
from magtkd_rt.train.text import prompt_encoder, prompts_of


def prompt_case(prompt: Prompt) -> dict[str, Tensor]:
    """A prompt as the text graph takes it."""
    return {
        "input_ids": torch.tensor([prompt.input_ids]),
        "mask_position": torch.tensor([prompt.mask_position]),
    }


def text_cases(data: Path) -> list[dict[str, Tensor]]:
    """Prompts of the first dev dialogue: nothing before, a little, a lot."""
    prompts = prompts_of(read_meld(data, "dev")[0], prompt_encoder())
    return [prompt_case(prompts[number]) for number in (len(prompts) // 2, 0, -1)]


def audio_cases() -> list[dict[str, Tensor]]:
    """Made sound: a gliding tone, noise, near silence."""
    random = torch.Generator().manual_seed(1)
    time = torch.arange(3 * 16_000) / 16_000
    tone = 0.2 * torch.sin(2 * torch.pi * (150 + 40 * time) * time)
    noise = 0.1 * torch.randn(MIN_SAMPLES, generator=random)
    return [{"waveform": x.unsqueeze(0)} for x in (tone, noise, 1e-4 * noise)]


def video_cases() -> list[dict[str, Tensor]]:
    """Made pictures: several, one, a blank one."""
    random = torch.Generator().manual_seed(2)
    pictures = torch.randint(0, 256, (3, 48, 48), generator=random, dtype=torch.uint8)
    return [{"faces": x} for x in (pictures, pictures[:2], torch.full((1, 48, 48), 128).byte())]


@torch.no_grad()
def fusion_cases(magt: StreamingMagt) -> list[dict[str, Tensor]]:
    """Three steps of one conversation, with modalities missing now and then, then looks back.

    In those the rows look at different utterances again.
    """
    random = torch.Generator().manual_seed(3)
    state, cases = MagtState.empty(magt.config, 2), []
    for step in range(3):
        text, audio, video = (
            torch.randn(2, magt.config.feature_size, generator=random) for _ in range(3)
        )
        present = torch.rand(2, 3, generator=random) < 0.7
        present[:, step] = True
        case = {
            "text": text,
            "audio": audio,
            "video": video,
            "present": present,
            "speaker": torch.tensor([step % 2, 0]),
            "keys": state.keys,
            "values": state.values,
            "valid": state.valid,
            "ahead": torch.tensor([0, 0]),
        }
        cases.append(case)
        state = MagtState(*StepGraph(magt)(*case.values())[1:])
    newest = {"keys": state.keys, "values": state.values, "valid": state.valid}
    for ahead in range(1, magt.config.right + 1):
        again = {name: torch.stack([cases[2 - ahead][name][0], cases[1][name][1]]) for name in case}
        again |= newest | {"ahead": torch.tensor([ahead, 1])}
        cases.append({name: again[name] for name in case})
    return cases


def step_graph(magt: StreamingMagt) -> Exportable:
    """The fusion as it is exported: one step, or a look back, for any number of rows."""
    cases = fusion_cases(magt)
    outputs = ["logits", "keys_out", "values_out", "valid_out"]
    return Exportable(StepGraph(magt), cases, outputs, dict.fromkeys(cases[0], 0))


def paper_cases(magt: PaperMagt) -> list[dict[str, Tensor]]:
    """A dialogue of seven utterances, and of two."""
    random = torch.Generator().manual_seed(4)
    cases = []
    for count in (7, 2):
        text, audio, video = (
            torch.randn(count, magt.config.feature_size, generator=random) for _ in range(3)
        )
        present = torch.rand(count, 3, generator=random) < 0.7
        speaker = torch.arange(count) % 2
        cases.append(
            {"text": text, "audio": audio, "video": video, "present": present, "speaker": speaker}
        )
    return cases
