from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from emotionml_rules import broken_rules
from event_script import EventScript
from hypothesis import given, settings
from journals import hostile_sessions, session, utterance

from magtkd_rt import wire
from magtkd_rt.clients.export import FORMATS, Session, read_session
from magtkd_rt.clients.export.emotionml import NAMESPACE, OWN_NAMESPACE
from magtkd_rt.labels import LABELS

_IN = {"e": NAMESPACE, "m": OWN_NAMESPACE}


def _document(of: Session) -> str:
    return "".join(FORMATS["emotionml"](of))


def _heard(audio: str | None, video: str | None = None) -> wire.SessionStarted:
    sources = wire.SourceInfo(audio=audio, video=video)
    return EventScript().started().model_copy(update={"sources": sources})


def test_an_utterance_is_an_emotion() -> None:
    document = _document(session(utterance(1.5, 2.75, text="so <it> goes", speaker="Anna")))
    assert broken_rules(document) == []
    (emotion,) = ET.fromstring(document).findall("e:emotion", _IN)
    assert emotion.attrib == {
        "id": "u1", "time-ref-uri": "#session", "time-ref-anchor-point": "start",
        "offset-to-start": "1500", "duration": "1250", "expressed-through": "text voice",
    }  # fmt: skip
    (category,) = emotion.findall("e:category", _IN)
    assert category.attrib == {"name": "joy", "confidence": "0.6"}
    assert "".join(emotion.itertext()).strip() == "so <it> goes"
    (told,) = emotion.findall("e:info/m:utterance", _IN)
    assert told.attrib["speaker"] == "Anna"
    shares = {
        part.get("category"): part.get("value") for part in told.findall("m:probability", _IN)
    }
    assert shares.keys() == set(LABELS)
    assert shares["joy"] == "0.6"
    (face,) = told.findall("m:modality[@name='video']", _IN)
    assert face.attrib == {"name": "video", "present": "false", "absent-because": "no_face"}


def test_the_vocabulary_is_the_session_s() -> None:
    root = ET.fromstring(_document(session()))
    names = [item.get("name") for item in root.findall("e:vocabulary/e:item", _IN)]
    assert names == list(LABELS)
    big6 = root.findall("e:vocabulary/e:item/e:info/m:big6", _IN)
    assert [item.get("name") for item in big6] == [
        "happiness", "sadness", "anger", "surprise", "fear", "disgust"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("started", "uri"),
    [
        (_heard("my talk #1.wav (pcm_s16le)"), "my%20talk%20%231.wav#t=1.5,2"),
        (_heard("talk.mp4 (aac)", "talk.mp4 (h264)"), "talk.mp4#t=1.5,2"),
        (_heard("USB microphone"), None),
        (None, None),
    ],
)
def test_a_recording_is_referred_to(started: wire.SessionStarted | None, uri: str | None) -> None:
    document = _document(session(utterance(1.5, 2), started=started))
    assert broken_rules(document) == []
    found = ET.fromstring(document).find("e:emotion/e:reference", _IN)
    assert (found is not None and found.get("uri")) == (uri or False)


@settings(deadline=None)
@given(hostile_sessions())
def test_any_session_keeps_the_rules(told: Session) -> None:
    document = _document(told)
    assert broken_rules(document) == []
    emotions = ET.fromstring(document).findall("e:emotion", _IN)
    assert ["".join(item.itertext()).strip() for item in emotions] == [
        item.text for item in told.utterances
    ]


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    told = read_session(real_journal)
    document = _document(told)
    assert broken_rules(document) == []
    assert document.count("<emotion ") == len(told.utterances)
    assert 'uri="talking_head_1.mp4#t=' in document


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("<emotionml ", "<emotions ", "101"),
        ('version="1.0" xmlns', "xmlns", "110"),
        ('version="1.0" xmlns', 'version="2.0" xmlns', "111"),
        ('category-set="#expressions"', 'category-set="#others"', "114"),
        (' category-set="#expressions"', "", "210"),
        ('<category name="joy"', '<category name="glee"', "212"),
        ('<category name="joy"', '<category name="joy" name2="a"', "schema"),
        ('<category name="joy" ', "<category ", "211"),
        ('confidence="0.6"', 'confidence="1.6"', "300"),
        ('confidence="0.6"', 'confidence="high"', "300"),
        ('duration="1000"', 'duration="-5"', "422"),
        ('duration="1000"', 'duration="1.5"', "422"),
        ('offset-to-start="0"', 'offset-to-start="now"', "425"),
        ('anchor-point="start"', 'anchor-point="middle"', "424"),
        ('time-ref-uri="#session"', 'time-ref-uri="#film"', "423"),
        ('expressed-through="text voice"', 'expressed-through="text, voice"', "301"),
        ('<emotion id="u1"', '<emotion id="1"', "174"),
        ('<emotion id="u1"', '<emotion id="session"', "174"),
        ('role="expressedBy"', 'role="meantBy"', "414"),
        ('uri="call.wav#t=0,1" ', "", "410"),
        ('<item name="fear">', '<item name="joy">', "608"),
        ('type="category"', 'type="feeling"', "603"),
        ('id="expressions"', "", "604"),
        ("<magtkd:utterance", "<info/><magtkd:utterance", "304"),
        ("<magtkd:meaning>", "<category/><magtkd:meaning>", "304"),
        ("</emotionml>", '<emotion id="u2"/></emotionml>', "156"),
        ("</emotionml>", "<info/></emotionml>", "105"),
        ("</emotionml>", "words</emotionml>", "schema"),
        ("</emotionml>", "<mood/></emotionml>", "700"),
    ],
)
def test_the_rules_find_what_is_wrong(right: str, wrong: str, rule: str) -> None:
    document = _document(session(utterance(), started=_heard("call.wav (pcm_s16le)")))
    assert broken_rules(document) == []
    assert right in document
    spoiled = document.replace(right, wrong)
    if rule == "101":
        spoiled = spoiled.replace("</emotionml>", "</emotions>")
    assert any(found.startswith(rule) or f", {rule}" in found for found in broken_rules(spoiled))
