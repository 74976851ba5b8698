"""The starter's voice graphs, which a full-size bundle takes along to tell speakers apart live.

Stage 1 trains none: the corpora name their speakers, so there is nothing to learn it from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from magtkd_rt.bundle.golden import GoldenCase, read_golden
from magtkd_rt.bundle.manifest import (
    OPTIONAL_GRAPHS,
    Corpus,
    Graph,
    GraphName,
    IdentityPreprocessing,
    SpeakerPreprocessing,
)
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import BundleError

FROM: Final = "starter"
_DATA: Final[dict[GraphName, Corpus]] = {
    "speaker": Corpus(
        name="Resemblyzer's voice encoder",
        licence="weights Apache-2.0",
        use="tells speakers apart, as in the starter bundle",
    ),
    "identity": Corpus(
        name="CAM++, 3D-Speaker's voice encoder",
        licence="weights Apache-2.0",
        use="names speakers, as in the starter bundle",
    ),
}
_WHITENED: Final = Corpus(
    name="RAVDESS",
    licence="CC BY-NC-SA 4.0",
    use="made vectors of voices comparable, as in the starter bundle: actors 1-18",
)


@dataclass(frozen=True)
class Voices:
    """Voice graphs with what a bundle has to say of them.

    Attributes:
        files: the ONNX graphs, by their names in the bundle.
        graphs: their entries in the manifest, with the licences of their weights.
        speaker: what the graph `speaker` is given.
        identity: what the graph `identity` is given, if the bundle has it.
        golden: what they are known to answer.
        source: name of the bundle and first digits of the graphs' hashes, for the card.
    """

    files: dict[str, Path]
    graphs: dict[GraphName, Graph]
    speaker: SpeakerPreprocessing
    identity: IdentityPreprocessing | None
    golden: list[GoldenCase]
    source: str

    @property
    def data(self) -> list[Corpus]:
        """What the graphs learned from."""
        return [*(_DATA[graph] for graph in self.graphs), _WHITENED]


def voices_of(name_or_dir: str | Path = FROM) -> Voices:
    """The voice graphs of a bundle.

    Args:
        name_or_dir: the bundle, whose hashes are checked.

    Raises:
        BundleError: the bundle is missing or damaged, or has no voice graph.
    """
    bundle = Bundle.load(name_or_dir)
    manifest = bundle.manifest
    if manifest.preprocessing.speaker is None:
        raise BundleError(
            f"the bundle {manifest.name} has no voice graph",
            remedy="export with --no-voices: all that is said then has one speaker",
        )
    graphs = {name: manifest.graphs[name] for name in OPTIONAL_GRAPHS if name in manifest.graphs}
    hashes = ", ".join(manifest.files[graph.file][:16] for graph in graphs.values())
    return Voices(
        {graph.file: bundle.path(graph.file) for graph in graphs.values()},
        graphs,
        manifest.preprocessing.speaker,
        manifest.preprocessing.identity,
        [case for case in read_golden(bundle) if case.graph in graphs],
        f"{manifest.name}, SHA-256 {hashes}",
    )
