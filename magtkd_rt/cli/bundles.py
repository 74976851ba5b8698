"""`magtkd bundle show`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.select import select


def show_bundle(name: str) -> None:
    """Print what a bundle says of itself, and whether it holds.

    Raises:
        MagtkdError: it is missing, damaged, or its golden outputs are not reproduced.
    """
    bundle = Bundle.load(name)
    manifest = bundle.manifest
    console = Console(highlight=False)
    facts = Table.grid(padding=(0, 2))
    for key, value in (
        ("bundle", f"{manifest.name} {manifest.version}, {manifest.created:%Y-%m-%d}"),
        ("directory", str(bundle.directory)),
        ("sha256", bundle.sha256),
        ("licence", manifest.licence),
        ("labels", ", ".join(manifest.labels)),
        ("window", f"{manifest.fusion.window} utterances"),
        ("abstains under", f"{manifest.calibration.abstain_threshold:.2f}"),
        ("masks words under", f"{manifest.calibration.text_confidence_threshold:.2f}"),
    ):
        facts.add_row(Text(key, style="dim"), Text(value))
    for corpus in manifest.data:
        told = f"{corpus.name} ({corpus.licence}): {corpus.use}"
        facts.add_row(Text("trained on", style="dim"), Text(told))
    console.print(facts)
    graphs = Table("graph", "file", "precision", "size", "may differ by", box=None)
    for graph, said in manifest.graphs.items():
        size = bundle.path(said.file).stat().st_size / 1e6
        graphs.add_row(graph, said.file, said.precision, f"{size:.1f} MB", f"{said.tolerance:g}")
    console.print(graphs)
    selected = select(bundle)
    selected.engine.close()
    console.print(f"{len(manifest.files)} files have the right hash; {selected.reason}.")
