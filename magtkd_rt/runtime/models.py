"""The models that any number of sessions share: the bundle's graphs, and who transcribes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from magtkd_rt.asr.base import Transcriber
from magtkd_rt.asr.process import PocketsphinxProcess
from magtkd_rt.asr.select import select as select_asr
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import ModelConfig
from magtkd_rt.engines.batching import BatchingEngine
from magtkd_rt.engines.select import select as select_engine
from magtkd_rt.errors import MagtkdError
from magtkd_rt.runtime.recogniser import Recogniser


@dataclass(frozen=True, slots=True)
class Models:
    """What is loaded once.

    Attributes:
        recogniser: runs the bundle's graphs; for any number of threads.
        engine_reason: one line: which engine, and why.
        transcriber: None where nothing is transcribed.
        asr_reason: one line: which transcriber, and why.
        troubles: what of the engine cannot be used, one line each; it grows with what fails later.
    """

    recogniser: Recogniser
    engine_reason: str
    transcriber: Transcriber | None
    asr_reason: str
    troubles: Sequence[str] = ()

    @property
    def bundle(self) -> Bundle:
        """The bundle that is run."""
        return self.recogniser.bundle

    def batches(self) -> dict[GraphName, Counter[int]]:
        """By graph, how many runs have served how many sessions at once."""
        engine = self.recogniser.engine
        return engine.batches() if isinstance(engine, BatchingEngine) else {}

    def transcriber_for_session(self) -> Transcriber | None:
        """A transcriber for one more session, to be let go by `release`.

        pocketsphinx gets a process for each: it decodes one stream at a time, and learns its
        microphone's level.
        """
        if isinstance(self.transcriber, PocketsphinxProcess):
            return PocketsphinxProcess()
        return self.transcriber

    def release(self, transcriber: Transcriber | None) -> None:
        """Let go of what `transcriber_for_session` gave."""
        if transcriber is not None and transcriber is not self.transcriber:
            transcriber.close()

    def close(self) -> None:
        """Let everything go; no session may be at work any more."""
        self.recogniser.engine.close()
        if self.transcriber is not None:
            self.transcriber.close()


def load_models(config: ModelConfig, transcriber: Transcriber | None = None) -> Models:
    """Load the models, the transcriber beside the rest, and run each once.

    Args:
        config: the settings.
        transcriber: to be used instead of the one that the settings name.

    Raises:
        MagtkdError: the bundle, its engine or the transcriber cannot be had.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        asr = pool.submit(_transcriber, config, transcriber)
        try:
            bundle = Bundle.load(config.bundle)
            selected = select_engine(bundle, config.engine, config.threads, config.device)
            at_once = max(1, (os.cpu_count() or 1) // config.threads)
            recogniser = Recogniser(bundle, BatchingEngine(selected.engine, at_once=at_once))
            recogniser.warm_up()
        except MagtkdError:
            if asr.exception() is None and (opened := asr.result()[0]) not in (None, transcriber):
                opened.close()
            raise
        opened, asr_reason = asr.result()
    return Models(recogniser, selected.reason, opened, asr_reason, selected.troubles)


def _transcriber(config: ModelConfig, given: Transcriber | None) -> tuple[Transcriber | None, str]:
    if given is not None:
        return given, f"words by {given.name}"
    return select_asr(config.asr, config.whisper_model or None)
