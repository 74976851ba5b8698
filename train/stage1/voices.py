"""The starter's voice graph, which a full-size bundle takes along to tell speakers apart live.

Stage 1 trains none: the corpora name their speakers, so there is nothing to learn it from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from magtkd_rt.bundle.golden import GoldenCase, read_golden
from magtkd_rt.bundle.manifest import Corpus, Graph, SpeakerPreprocessing
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import BundleError

FROM: Final = "starter"
VOICE_DATA: Final = (
    Corpus(
        name="Resemblyzer's voice encoder",
        licence="weights Apache-2.0",
        use="tells speakers apart, as in the starter bundle",
    ),
    Corpus(
        name="RAVDESS",
        licence="CC BY-NC-SA 4.0",
        use="made voice prints comparable, as in the starter bundle: actors 1-18",
    ),
)
"""What the graph learned from."""


@dataclass(frozen=True)
class Voices:
    """A voice graph with what a bundle has to say of it.

    Attributes:
        file: the ONNX graph.
        graph: its entry in the manifest, with the licence of its weights.
        preprocessing: what it is given.
        golden: what it is known to answer.
        source: name of the bundle and first digits of the graph's hash, for the card.
    """

    file: Path
    graph: Graph
    preprocessing: SpeakerPreprocessing
    golden: list[GoldenCase]
    source: str


def voices_of(name_or_dir: str | Path = FROM) -> Voices:
    """The voice graph of a bundle.

    Args:
        name_or_dir: the bundle, whose hashes are checked.

    Raises:
        BundleError: the bundle is missing or damaged, or has no voice graph.
    """
    bundle = Bundle.load(name_or_dir)
    graph, preprocessing = bundle.manifest.graphs.get("speaker"), bundle.manifest.preprocessing
    if graph is None or preprocessing.speaker is None:
        raise BundleError(
            f"the bundle {bundle.manifest.name} has no voice graph",
            remedy="export with --no-voices: all that is said then has one speaker",
        )
    return Voices(
        bundle.path(graph.file),
        graph,
        preprocessing.speaker,
        [case for case in read_golden(bundle) if case.graph == "speaker"],
        f"{bundle.manifest.name}, SHA-256 {bundle.manifest.files[graph.file][:16]}",
    )
