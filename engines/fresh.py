"""Fresh inputs for a bundle's graphs: made up by a seed, alike in kind to what they get live.

Dialogues of everyday sentences for the words, tones and noise for the voice, shaded discs for the
face, and for the fusion a conversation whose state is what the graph itself left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Turn

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[GraphName, Arrays], dict[str, NDArray[Any]]]

_MODALITIES: Final = ("text", "audio", "video")

SENTENCES: Final = tuple(
    """Hey, how are you?|I'm fine, thanks.|Oh my god!|What are you doing here?|Nothing much.
I can't believe you did that!|It's okay, really.|No, it's not okay!|Why are you so angry with me?
I'm not angry, I'm just tired.|Wow, that is amazing!|We won the game last night!|Congratulations!
My grandmother died on Sunday.|I'm so sorry to hear that.|Thank you.|She was a wonderful woman.
Did you hear that noise?|Please don't go in there.|I'm scared.|It's only the cat.|Ugh, that smells.
Who put this in the fridge?|That's disgusting.|You always say that.|I never said that, ever!
Where is the money?|I don't know what you are talking about.|Stop lying to me!|Get out!|Fine.
Would you like some coffee?|Yeah, sure.|With milk and two sugars, please.|Here you go.|Mmm, great!
The train leaves at half past nine tomorrow.|Then we should get up early.|All right.|Okay, bye!
I got the job!|You did? That's fantastic!|They called me this morning.|I'm so proud of you.
Honestly, I miss him every day.|I know you do, sweetheart.|Maybe he'll call.|He won't.|Come here.
Wait, what?|She's getting married.|To whom?|To the guy from the bank, the tall one with a beard.
Are you serious?|I was as surprised as you are.|Ha, ha, very funny.|Well, I thought it was funny.
Um, could you repeat that?|I said the meeting was moved to Thursday.|Again?|Tell me about it.
You broke my favourite cup.|It was an accident!|I'll buy you a new one.|Forget it.|I hate this.
Look at that sunset!|It's beautiful.|I wish we could stay here forever.|Me too.|Let's go home.
The doctor wants to see me again.|Did she say why?|No, and that worries me.|I'll come with you.
Happy birthday!|For me?|Open it!|Oh, I love it, thank you so much!|You shouldn't have.|Hm.
So, basically, the results will be in the report by the end of the month.|Good to know.|Right.
Don't touch me!|Calm down.|I will not calm down!|What is wrong with you?|Leave me alone.""".replace(
        "\n", "|"
    ).split("|")
)
"""What people in the made-up dialogues say."""


def fresh_inputs(
    bundle: Bundle, graph: GraphName, count: int, seed: int, run: Run
) -> Iterator[dict[str, NDArray[Any]]]:
    """Make inputs for one graph, the same for the same seed.

    Args:
        bundle: whose graph.
        graph: its name.
        count: how many.
        seed: of the random numbers.
        run: runs the fusion, whose next inputs hold the state that it left.
    """
    random = np.random.default_rng([seed, *graph.encode()])
    if graph == "fusion":
        yield from _conversation(bundle, count, random, run)
        return
    if graph == "text":
        yield from _prompts(bundle, count, random)
        return
    audio, video = bundle.manifest.preprocessing.audio, bundle.manifest.preprocessing.video
    voices = bundle.manifest.preprocessing.voice_of(graph)
    for _ in range(count):
        if graph == "audio":
            longest = min(audio.max_samples, 4 * audio.sample_rate)
            samples = int(random.integers(audio.min_samples, max(longest, audio.min_samples) + 1))
            yield {"waveform": _voice(random, samples)[None]}
        elif voices is not None:
            rows = [_voice(random, voices.window_samples) for _ in range(random.integers(1, 4))]
            yield {"waveform": np.stack(rows)}
        elif graph == "video":
            pictures = int(random.integers(1, video.max_faces + 1))
            yield {"faces": _faces(random, pictures, video.face_size)}
        else:
            yield _features(bundle, int(random.integers(2, 12)), random)


def _prompts(
    bundle: Bundle, count: int, random: np.random.Generator
) -> Iterator[dict[str, NDArray[Any]]]:
    encoder = prompt_encoder(bundle)
    turns: list[Turn] = []
    for _ in range(count):
        if random.random() < 0.1:
            turns = []  # a new conversation
        start = int(random.integers(len(SENTENCES)))
        who = int(random.integers(2)) if random.random() < 0.2 else len(turns) % 2
        turns.append(Turn(who, " ".join(SENTENCES[start : start + int(random.integers(1, 3))])))
        prompt = encoder.encode(turns)
        yield {
            "input_ids": np.array([prompt.input_ids], np.int64),
            "mask_position": np.array([prompt.mask_position], np.int64),
        }


def _voice(random: np.random.Generator, samples: int) -> NDArray[np.float32]:
    """Harmonics of a gliding pitch, louder and softer four times a second, and noise."""
    time = np.arange(samples) / 16_000
    pitch = random.uniform(90, 260) * (1 + 0.2 * np.sin(2 * np.pi * random.uniform(0.3, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    weights = random.uniform(0.1, 1.0, 12) / np.arange(1, 13)
    tone = (weights[:, None] * np.sin(np.arange(1, 13)[:, None] * phase)).sum(0)
    loudness = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time + random.uniform(0, 6))
    noise = random.standard_normal(samples) * random.uniform(0.005, 0.1)
    wave: NDArray[np.float32] = (0.15 * tone * loudness + noise).astype(np.float32)
    return wave


def _faces(random: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    """A shaded disc with eyes and a mouth that opens, on a noisy ground."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    disc = 1 / (1 + np.exp(12 * (np.hypot(x * random.uniform(1.0, 1.4), y) - 0.8)))
    eyes = sum(np.exp(-60 * ((x - side) ** 2 + (y + 0.25) ** 2)) for side in (-0.35, 0.35))
    light = random.uniform(-0.4, 0.4) * x
    pictures = []
    for _ in range(count):
        mouth = np.exp(-12 * x**2 - random.uniform(20, 200) * (y - 0.45) ** 2)
        shade = 60 + 130 * disc * (1 + light) - 90 * eyes - 80 * mouth
        pictures.append(shade + random.normal(0, random.uniform(2, 25), (size, size)))
    faces: NDArray[np.uint8] = np.clip(np.stack(pictures), 0, 255).astype(np.uint8)
    return faces


def _features(bundle: Bundle, rows: int, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    size, speakers = bundle.manifest.feature_size, bundle.manifest.fusion.speakers
    present = random.random((rows, len(_MODALITIES))) < 0.7
    present[np.arange(rows), random.integers(0, len(_MODALITIES), rows)] = True
    return {
        **{name: random.standard_normal((rows, size), dtype=np.float32) for name in _MODALITIES},
        "present": present,
        "speaker": random.integers(0, speakers + 1, rows),
    }


def _conversation(
    bundle: Bundle, count: int, random: np.random.Generator, run: Run
) -> Iterator[dict[str, NDArray[Any]]]:
    fusion = bundle.manifest.fusion
    rows = 3
    state = {a.name: np.zeros((rows, *a.shape), a.dtype) for a in fusion.state}
    for number in range(count):
        inputs = {**_features(bundle, rows, random), **state}
        look_back = fusion.right_context and number > fusion.right_context and number % 4 == 3
        if fusion.right_context:
            furthest = fusion.right_context + 1 if look_back else 1
            inputs["ahead"] = random.integers(0, furthest, rows)
        yield inputs
        if not look_back:
            outputs = run("fusion", inputs)
            state = {array.name: outputs[f"{array.name}_out"] for array in fusion.state}
