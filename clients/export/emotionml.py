"""EmotionML 1.0, the W3C's markup of emotions (Recommendation of 22 May 2014).

One `<emotion>` for each utterance: the winning category with its confidence, when, through what
it was expressed, the words. What EmotionML has no place for is in `<info>`, in a namespace of its
own. The probabilities are there as well: several `<category>` in one `<emotion>` would say that
the emotions are mixed, which is not what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from magtkd_rt import wire
from magtkd_rt.clients.export.session import Session, Utterance, plain

NAMESPACE: Final = "http://www.w3.org/2009/10/emotionml"
OWN_NAMESPACE: Final = "urn:magtkd:v1"
VOCABULARY: Final = "expressions"
SESSION: Final = "session"

_BIG6: Final = {
    "joy": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
}
"""The W3C's vocabulary `big6` has neither joy nor neutral; this is what corresponds to it."""

_THROUGH: Final = {"text": "text", "audio": "voice", "video": "face"}
_RECORDING: Final = re.compile(r"(?P<name>.+\.\w{2,5}) \(\w+\)")
"""How a session names a recording that it hears: the file and its codec."""


def emotionml(session: Session) -> Iterator[str]:
    """Yield the file piece by piece."""
    names = _unique(session.labels, _nmtoken)
    identities = _unique(
        (item.emotion.utterance_id for item in session.utterances),
        _identity,
        taken=(VOCABULARY, SESSION),
    )
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    root = {"version": "1.0", "xmlns": NAMESPACE, "xmlns:magtkd": OWN_NAMESPACE}
    yield f"<emotionml{_attributes(root | {'category-set': f'#{VOCABULARY}'})}>\n"
    yield from _session(session)
    yield f'  <vocabulary type="category" id="{VOCABULARY}">\n'
    for label, name in names.items():
        big6 = _BIG6.get(label)
        same = f'<info><magtkd:big6 name="{big6}"/></info>' if big6 else ""
        yield f"    <item{_attributes({'name': name})}>{same}</item>\n"
    yield "  </vocabulary>\n"
    recording = _recording(session)
    for item in session.utterances:
        yield from _emotion(item, identities[item.emotion.utterance_id], names, recording)
    yield "</emotionml>\n"


def _session(session: Session) -> Iterator[str]:
    started = session.started
    facts: dict[str, object] = {"id": session.session_id, "complete": not session.cut_short}
    if started is not None:
        if started.emitted_at is not None:
            facts["began"] = started.emitted_at.isoformat()
        facts |= {"bundle": started.bundle.name, "bundle-sha256": started.bundle.sha256}
        facts |= {"transcriber": started.asr.name, "engine": started.engine}
    yield f'  <info id="{SESSION}">\n    <magtkd:session{_attributes(facts)}>\n'
    yield "      <magtkd:meaning>expression, not inner state</magtkd:meaning>\n"
    if started is not None:
        yield f"      <magtkd:notice>{escape(plain(started.notice))}</magtkd:notice>\n"
    yield "    </magtkd:session>\n  </info>\n"


def _emotion(
    item: Utterance, identity: str, names: Mapping[str, str], recording: str
) -> Iterator[str]:
    emotion = item.emotion
    through = [_THROUGH[name] for name, part in emotion.modalities.items() if part.present]
    start, end = round(emotion.start * 1000), round(emotion.end * 1000)
    when = {
        "time-ref-uri": f"#{SESSION}",
        "time-ref-anchor-point": "start",
        "offset-to-start": start,
        "duration": end - start,
    }
    heard = {"expressed-through": " ".join(through)} if through else {}
    yield f"  <emotion{_attributes({'id': identity} | when | heard)}>\n"
    category = {"name": names[emotion.label], "confidence": _decimal(emotion.confidence)}
    yield f"    <category{_attributes(category)}/>\n"
    if recording:
        uri = f"{recording}#t={_decimal(emotion.start)},{_decimal(emotion.end)}"
        yield f"    <reference{_attributes({'uri': uri, 'role': 'expressedBy'})}/>\n"
    yield from _info(item, names)
    yield f"    {escape(item.text)}\n  </emotion>\n"


def _info(item: Utterance, names: Mapping[str, str]) -> Iterator[str]:
    emotion = item.emotion
    facts: dict[str, object] = {
        "id": emotion.utterance_id,
        "speaker": item.speaker,
        "stage": emotion.stage,
        "revision": emotion.revision,
        "abstained": emotion.abstained,
        "overlapped": emotion.overlapped,
    }
    if emotion.speaker_confidence is not None:
        facts["speaker-confidence"] = _decimal(emotion.speaker_confidence)
    yield f"    <info>\n      <magtkd:utterance{_attributes(facts)}>\n"
    for label, share in emotion.probabilities.items():
        told = {"category": names[label], "value": _decimal(share)}
        yield f"        <magtkd:probability{_attributes(told)}/>\n"
    for name, part in emotion.modalities.items():
        yield f"        <magtkd:modality{_attributes(_modality(name, part))}/>\n"
    yield "      </magtkd:utterance>\n    </info>\n"


def _modality(name: str, part: wire.Modality) -> dict[str, object]:
    told: dict[str, object] = {"name": name, "present": part.present}
    if part.contribution is not None:
        told["contribution"] = _decimal(part.contribution)
    if part.reason is not None:
        told["absent-because"] = part.reason
    return told


def _recording(session: Session) -> str:
    """The address of the recording beside the export; empty where devices were heard."""
    sources = session.started and session.started.sources
    source = sources and (sources.video or sources.audio)
    found = _RECORDING.fullmatch(plain(source)) if source else None
    return quote(found["name"]) if found else ""


def _attributes(values: Mapping[str, object]) -> str:
    told = {
        name: str(value).lower() if isinstance(value, bool) else plain(str(value))
        for name, value in values.items()
    }
    return "".join(f" {name}={quoteattr(value)}" for name, value in told.items())


def _decimal(value: float) -> str:
    """A number without an exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _nmtoken(name: str) -> str:
    """A name that xsd:NMTOKEN allows; the seven labels are such as they are."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name) or "_"


def _identity(name: str) -> str:
    """A name that xsd:ID allows; the runtime's are such as they are."""
    token = _nmtoken(name)
    return token if re.match(r"[A-Za-z_]", token) else f"_{token}"


def _unique(
    names: Iterable[str], mend: Callable[[str], str], taken: Iterable[str] = ()
) -> dict[str, str]:
    """Each name and what stands for it in the document, no two the same."""
    used = set(taken)
    found: dict[str, str] = {}
    for name in names:
        mended = token = mend(name)
        number = 2
        while token in used:
            token, number = f"{mended}-{number}", number + 1
        used.add(token)
        found[name] = token
    return found
