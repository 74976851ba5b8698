"""pocketsphinx on real speech, fed the way the runtime feeds it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.asr import TEXT_CONFIDENCE_THRESHOLD
from magtkd_rt.asr.pocketsphinx_confidence import Segment, text_confidence
from magtkd_rt.core.jobs import Transcribed
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.sources import FileSource

jiwer = pytest.importorskip("jiwer")
pocketsphinx = pytest.importorskip("magtkd_rt.asr.pocketsphinx")


@pytest.fixture(scope="module")
def transcriber():  # type: ignore[no-untyped-def]
    listening = pocketsphinx.PocketsphinxTranscriber()
    yield listening
    listening.close()


def _sound(path: Path) -> NDArray[np.float32]:
    chunks = FileSource(path).media()
    return np.concatenate([chunk.samples for chunk in chunks if isinstance(chunk, AudioChunk)])


def _transcribe(transcriber, sound: NDArray[np.float32], size: int = 1600, start: int = 0):  # type: ignore[no-untyped-def]
    stream = transcriber.open("u")
    partials: list[Transcribed] = []
    for at in range(0, len(sound), size):
        partial = stream.feed(AudioChunk(0, start + at, sound[at : at + size]))
        if partial is not None:
            partials.append(partial)
    return partials, stream.finish()


def _wrong(reference: str, text: str) -> float:
    """Share of wrong words; the recogniser writes the title as mr."""
    plain = re.sub(r"\bmister\b", "mr", reference.strip().lower())
    return float(jiwer.wer(plain, text or "-"))


@pytest.mark.parametrize("name", ["librivox_0870", "librivox_0930"])
def test_read_passages_come_out_mostly_right(transcriber, shared: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    folder = shared / "media/speech"
    sound = _sound(folder / f"{name}.wav")
    partials, final = _transcribe(transcriber, sound, start=32000)
    assert _wrong((folder / f"{name}.txt").read_text(), final.text) <= 1 / 3
    assert final.final and final.language == "en"
    assert final.confidence > TEXT_CONFIDENCE_THRESHOLD
    assert final.words is not None
    assert final.text == " ".join(word.text for word in final.words)
    times = [time for word in final.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 32000
    assert times[-1] <= 32000 + len(sound)
    assert partials and not any(partial.final for partial in partials)
    assert partials[0].text.split()[0] in final.text


def test_a_result_depends_on_its_utterance_alone(transcriber, shared: Path) -> None:  # type: ignore[no-untyped-def]
    sound = _sound(shared / "media/speech/librivox_0880.wav")
    _, first = _transcribe(transcriber, sound)
    other = _sound(shared / "media/speech/7902-96591-0000.flac")
    _transcribe(transcriber, other * 0.1)
    _, again = _transcribe(transcriber, sound, size=512)
    assert again == first


def test_what_is_ahead_lets_decoding_begin_and_changes_no_word(transcriber, shared: Path) -> None:  # type: ignore[no-untyped-def]
    sound = _sound(shared / "media/speech/7902-96591-0000.flac")
    _, final = _transcribe(transcriber, sound)
    stream = transcriber.open("u")
    sooner: list[Transcribed] = []
    for at in range(0, len(sound), 1600):
        ahead = AudioChunk(0, at + 1600, sound[at + 1600 : at + 17600])
        partial = stream.feed(AudioChunk(0, at, sound[at : at + 1600]), ahead)
        if at < 16000 and partial is not None:
            sooner.append(partial)
    assert sooner
    assert stream.finish() == final


def test_utterances_may_overlap(transcriber, shared: Path) -> None:  # type: ignore[no-untyped-def]
    sound = _sound(shared / "media/speech/7902-96591-0000.flac")
    _, alone = _transcribe(transcriber, sound)
    one, other = transcriber.open("a"), transcriber.open("b")
    for at in range(0, len(sound), 1600):
        chunk = AudioChunk(0, at, sound[at : at + 1600])
        one.feed(chunk)
        other.feed(chunk)
    assert one.finish() == other.finish() == alone
    dropped = transcriber.open("c")
    dropped.feed(AudioChunk(0, 0, np.tile(sound, 2)))  # long enough to have begun decoding
    dropped.close()
    dropped.close()
    assert _transcribe(transcriber, sound)[1] == alone


def test_no_words_in_nothing(transcriber) -> None:  # type: ignore[no-untyped-def]
    assert transcriber.open("u").finish() == Transcribed("", (), 0.0, "en", True)
    _, short = _transcribe(transcriber, np.zeros(300, np.float32))
    assert short.text == ""
    _, silent = _transcribe(transcriber, np.zeros(16000, np.float32))
    assert silent.text == "" or silent.confidence < TEXT_CONFIDENCE_THRESHOLD
    stream = transcriber.open("u")
    stream.finish()
    with pytest.raises(ValueError, match="has ended"):
        stream.feed(AudioChunk(0, 0, np.zeros(10, np.float32)))


def test_telephone_speech_is_not_trusted(transcriber, shared: Path) -> None:  # type: ignore[no-untyped-def]
    call = _sound(shared / "media/speech/two_speaker_call.wav")
    # "And I'm Sheila in Texas, originally from Chicago" and "... New Jersey now", by the .stm file
    for start, end in ((14.29, 17.92), (28.30, 30.0)):
        _, final = _transcribe(transcriber, call[round(start * 16000) : round(end * 16000)])
        assert final.confidence < TEXT_CONFIDENCE_THRESHOLD, final.text


def test_confidence_rises_with_both_its_parts() -> None:
    def confidence(posterior: float, fit: float, words: int = 5) -> float:
        word = Segment("word", 0, 19, posterior, fit**20)
        return text_confidence([Segment("<s>", 0, 4, 1.0, 1.0), *[word] * words])

    assert confidence(0.9, 0.03) > 0.8 > confidence(0.5, 0.03) > confidence(0.1, 0.03)
    assert confidence(0.5, 0.06) > confidence(0.5, 0.02)
    assert confidence(0.9, 0.03, words=1) < confidence(0.9, 0.03)
    assert text_confidence([Segment("<sil>", 0, 9, 1.0, 1.0)]) == 0
    assert 0 <= confidence(0.5, 0.0) < 0.1  # an underflow
