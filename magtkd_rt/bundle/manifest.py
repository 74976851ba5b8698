"""What a bundle's `manifest.json` says: everything that turns raw input into a result, but weights.

Every number that the runtime needs about the models stands here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import pydantic
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt

FORMAT: Final = 1
"""The manifest format that this release reads and writes."""

MANIFEST: Final = "manifest.json"
"""Name of the manifest in a bundle's directory."""

GraphName = Literal["text", "audio", "video", "fusion", "speaker", "identity", "paper"]
GRAPHS: Final[tuple[GraphName, ...]] = ("text", "audio", "video", "fusion")
"""The graphs of every bundle: one encoder per modality, and the fusion's single step.

A bundle may also have `speaker`, a voice's vector; without it all that is said has one speaker. To
name speakers more surely it may have `identity` beside it, the vector of a whole utterance's voice.
And it may have `paper`, the fusion as published, over a whole dialogue in both directions:
evaluation runs it for comparison, the live system never does.
"""

OPTIONAL_GRAPHS: Final[tuple[GraphName, ...]] = ("speaker", "identity")
"""What the live system runs where the bundle has it."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*$")]
"""A file of the bundle, relative to it, with forward slashes; cannot leave the directory."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Corpus(_Part):
    """A corpus that the weights were trained on: `use` says for what, with which split."""

    name: str
    licence: str
    use: str


class AudioPreprocessing(_Part):
    """Limits of the waveform: padded with silence up to `min_samples`, the last seconds kept."""

    sample_rate: Literal[16_000] = 16_000
    min_samples: PositiveInt
    max_seconds: Positive

    @property
    def max_samples(self) -> int:
        """Longest waveform that the graph is given."""
        return int(self.max_seconds * self.sample_rate)


class VideoPreprocessing(_Part):
    """Grey square face crops, `face_size` pixels high; at most `max_faces` spread over time."""

    face_size: Literal[48] = 48
    max_faces: PositiveInt


class SpeakerPreprocessing(_Part):
    """How long the waveform is that one vector speaks for; nothing is done to it before the graph.

    `front_end` says in words what the graph itself does to it first.
    """

    sample_rate: Literal[16_000] = 16_000
    window_samples: Literal[19_456] = 19_456
    vector_size: PositiveInt
    front_end: str


class IdentityPreprocessing(_Part):
    """How long the waveform is that stands for an utterance: a longer one's middle, or repeated.

    `front_end` says in words what the graph itself does to it first.
    """

    sample_rate: Literal[16_000] = 16_000
    window_samples: Literal[32_000] = 32_000
    vector_size: PositiveInt
    front_end: str


class ExampleTurn(_Part):
    """One turn of an example dialogue."""

    speaker: Annotated[int, Field(ge=0)]
    text: str


class PromptExample(_Part):
    """A dialogue and the ids that it had in training: loading checks that it still has them."""

    turns: Annotated[list[ExampleTurn], Field(min_length=1)]
    input_ids: list[int]


class Words(_Part):
    """The prompt's own words, see :class:`magtkd_rt.features.prompt.PromptWords`."""

    before: str
    between: str
    after: str


class TextPreprocessing(_Part):
    """How a dialogue becomes ids; `context_turns` null: as many earlier turns as fit."""

    tokenizer: FileName = "tokenizer.json"
    max_tokens: PositiveInt
    context_turns: Annotated[int, Field(ge=0)] | None = None
    words: Words
    speakers: PositiveInt
    """Speaker tokens of the vocabulary; further speakers share the last."""
    examples: Annotated[list[PromptExample], Field(min_length=1)]


class Preprocessing(_Part):
    """What happens before the graphs."""

    text: TextPreprocessing
    audio: AudioPreprocessing
    video: VideoPreprocessing
    speaker: SpeakerPreprocessing | None = None
    identity: IdentityPreprocessing | None = None

    def voice_of(self, graph: GraphName) -> SpeakerPreprocessing | IdentityPreprocessing | None:
        """What is said of a graph that makes vectors of voices, None of any other."""
        return {"speaker": self.speaker, "identity": self.identity}.get(graph)


class Graph(_Part):
    """One ONNX graph: its file, the names it takes and gives, and how exactly it repeats.

    `tolerance` is the largest difference from the golden outputs that an engine may show. `origin`
    and `licence` are those of the weights where they were taken over unchanged.
    """

    file: FileName
    inputs: Annotated[list[str], Field(min_length=1)]
    outputs: Annotated[list[str], Field(min_length=1)]
    precision: Literal["float32", "float16", "int8"]
    tolerance: Positive
    origin: str | None = None
    licence: str | None = None


class StateArray(_Part):
    """One array of the fusion's state: `shape` is without the batch, zeros at the start.

    The graph takes it as `name` and gives it back as `<name>_out`.
    """

    name: str
    shape: list[PositiveInt]
    dtype: Literal["float32", "int64", "bool"]


class Fusion(_Part):
    """The fusion's state: the `window` last utterances, `speakers` numbers for who said them.

    The last number is any further speaker; the one after it says that the speaker is unknown.
    `right_context` is how many later utterances the graph can look at when it looks at one again;
    where it is not 0, the graph takes `ahead`, how many have followed each row's utterance.
    """

    window: PositiveInt
    right_context: Annotated[int, Field(ge=0)] = 0
    speakers: PositiveInt
    state: Annotated[list[StateArray], Field(min_length=1)]


class Temperatures(_Part):
    """Divisors of the logits that make the probabilities honest, found on the dev splits."""

    fused: Positive
    text: Positive
    audio: Positive
    video: Positive


class Calibration(_Part):
    """When to believe a result, and when to believe a transcript."""

    temperature: Temperatures
    abstain_threshold: Share
    text_confidence_threshold: Share


class Manifest(_Part):
    """The whole manifest. `files` has the hash of every file of the bundle but this one."""

    format: Literal[1] = FORMAT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    version: str
    licence: str
    data: list[Corpus]
    created: AwareDatetime
    labels: Annotated[list[str], Field(min_length=2)]
    feature_size: PositiveInt
    preprocessing: Preprocessing
    graphs: dict[GraphName, Graph]
    fusion: Fusion
    calibration: Calibration
    golden: FileName = "golden.npz"
    card: FileName = "MODEL_CARD.md"
    files: dict[FileName, Sha256] = {}

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Manifest:
        for graph in GRAPHS:
            if graph not in self.graphs:
                raise ValueError(f"the graph {graph!r} is missing")
        for graph in OPTIONAL_GRAPHS:
            if (graph in self.graphs) != (getattr(self.preprocessing, graph) is not None):
                raise ValueError(
                    f"the graph {graph!r} and its preprocessing come together or not at all"
                )
        if "identity" in self.graphs and "speaker" not in self.graphs:
            raise ValueError("the graph 'identity' names speakers that 'speaker' tells apart")
        if ("ahead" in self.graphs["fusion"].inputs) != (self.fusion.right_context > 0):
            raise ValueError("the fusion takes 'ahead' where it has right context, and only there")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label occurs twice")
        return self

    @property
    def live_graphs(self) -> tuple[GraphName, ...]:
        """The graphs that the live system runs."""
        return (*GRAPHS, *(graph for graph in OPTIONAL_GRAPHS if graph in self.graphs))

    @property
    def wanted_files(self) -> dict[str, str]:
        """File that the manifest refers to -> what it is."""
        named = {graph.file: f"the graph {name!r}" for name, graph in self.graphs.items()}
        named[self.preprocessing.text.tokenizer] = "the tokenizer"
        named[self.golden] = "the golden inputs and outputs"
        named[self.card] = "the model card"
        return named
