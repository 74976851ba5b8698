"""Tell which corpus a folder holds, and read it."""

from __future__ import annotations

from pathlib import Path

from magtkd_rt.errors import DataError
from magtkd_rt.train.corpora.iemocap import is_iemocap, read_iemocap
from magtkd_rt.train.corpora.manifest import find_manifest, read_manifest
from magtkd_rt.train.corpora.meld import is_meld, read_meld
from magtkd_rt.train.corpora.pickles import is_pickled
from magtkd_rt.train.corpora.types import Corpus


def read_corpus(place: Path) -> Corpus:
    """Read MELD, IEMOCAP, or a manifest (a folder's, or the file itself).

    Raises:
        DataError: it is none of these, or not as it should be.
    """
    if not place.exists():
        raise DataError(f"{place} does not exist", remedy="check the path")
    manifest = find_manifest(place)
    if manifest is not None:
        return read_manifest(manifest)
    if is_meld(place):
        return read_meld(place)
    if is_iemocap(place):
        return read_iemocap(place)
    if is_pickled(place):
        raise DataError(
            f"{place} holds features, no utterances", remedy="read them with `magtkd data features`"
        )
    raise DataError(
        f"{place} holds neither MELD, IEMOCAP nor a manifest",
        remedy="name the folder with train_sent_emo.csv, Session1 or manifest.csv in it, "
        "or the manifest itself",
    )
