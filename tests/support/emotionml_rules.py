"""Does a document keep the rules of EmotionML 1.0?

The rules are those of the Recommendation of 22 May 2014, by the numbers that the W3C's
implementation report gives them (https://www.w3.org/2002/mmi/2013/emotionml-ir/), and the types
and attributes that its schema allows.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from itertools import chain

NAMESPACE = "http://www.w3.org/2009/10/emotionml"
_SETS = ("category-set", "dimension-set", "appraisal-set", "action-tendency-set")
_ROLES = {"expressedBy", "experiencedBy", "triggeredBy", "targetedAt"}
_KINDS = {"category", "dimension", "appraisal", "action-tendency"}

_NCNAME = r"[A-Za-z_\u00c0-\ufffd][\w.\-\u00b7-\ufffd]*"
_NMTOKEN = r"[\w.:\-\u00b7-\ufffd]+"
_FLOAT = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_MIME = r"[\w!#$&^.+-]+/[\w!#$&^.+-]+"


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


def _share(value: str) -> bool:
    return re.fullmatch(_FLOAT, value) is not None and 0 <= float(value) <= 1


def _uri(value: str) -> bool:
    return re.fullmatch(r"[^\s<>\"{}|\\^`]*", value) is not None and not re.search(
        r"%(?![0-9A-Fa-f]{2})", value
    )


_TYPES: dict[str, dict[str, tuple[int, Callable[[str], bool]]]] = {
    # element: attribute: number of the rule, what its value must be
    "emotionml": {
        "version": (111, _matches(r"1\.0")),
        **dict.fromkeys(_SETS, (113, _uri)),
    },
    "emotion": {
        "version": (172, _matches(r"1\.0")),
        "id": (174, _matches(_NCNAME)),
        **dict.fromkeys(_SETS, (160, _uri)),
        "start": (420, _matches(r"\+?\d+")),
        "end": (421, _matches(r"\+?\d+")),
        "duration": (422, _matches(r"\+?\d+")),
        "time-ref-uri": (423, _uri),
        "time-ref-anchor-point": (424, _matches("start|end")),
        "offset-to-start": (425, _matches(r"[+-]?\d+")),
        "expressed-through": (301, _matches(rf"{_NMTOKEN}( {_NMTOKEN})*")),
    },
    "category": {
        "name": (211, _matches(_NMTOKEN)),
        "value": (500, _share),
        "confidence": (300, _share),
    },
    "reference": {
        "uri": (411, _uri),
        "role": (414, lambda value: value in _ROLES),
        "media-type": (417, _matches(_MIME)),
    },
    "info": {"id": (306, _matches(_NCNAME))},
    "vocabulary": {
        "type": (603, lambda value: value in _KINDS),
        "id": (605, _matches(_NCNAME)),
    },
    "item": {"name": (607, _matches(_NMTOKEN))},
}
_NEEDED = {
    # element: attribute: number of the rule
    "emotionml": {"version": 110},
    "category": {"name": 211},
    "reference": {"uri": 410},
    "vocabulary": {"type": 602, "id": 604},
    "item": {"name": 607},
}
_CHILDREN = {
    "emotionml": {"emotion", "vocabulary", "info"},
    "emotion": {"category", "reference", "info"},  # and the three kinds that are not used here
    "vocabulary": {"item", "info"},
    "item": {"info"},
    "category": set[str](),
    "reference": set[str](),
}
_MIXED = {"emotion", "info"}


def broken_rules(document: str) -> list[str]:
    """What is wrong, each with the number of its rule; empty where all is well.

    Raises:
        xml.etree.ElementTree.ParseError: it is no XML.
    """
    root = ET.fromstring(document.encode())
    if root.tag != f"{{{NAMESPACE}}}emotionml":
        return ["101, 102: the root is not <emotionml> of the EmotionML namespace"]
    return [*_of_element(root), *_of_ids(root), *_of_vocabularies(root)]


def _name(element: ET.Element) -> str:
    namespace, _, name = element.tag.rpartition("}")
    return name if namespace == f"{{{NAMESPACE}" else ""


def _of_element(element: ET.Element) -> Iterator[str]:
    name = _name(element)
    if name not in _TYPES:
        yield f"700: <{element.tag}> is no element of EmotionML that may stand here"
        return
    allowed = _TYPES[name]
    for attribute, value in element.attrib.items():
        if attribute.startswith("{"):
            continue
        if attribute not in allowed:
            yield f"schema: <{name}> has no attribute {attribute}"
        elif not allowed[attribute][1](value):
            yield f"{allowed[attribute][0]}: {attribute} of <{name}> is {value!r}"
    for attribute, number in _NEEDED.get(name, {}).items():
        if attribute not in element.attrib:
            yield f"{number}: <{name}> has no {attribute}"
    texts = [element.text, *(child.tail for child in element)]
    if name not in _MIXED and any(text and text.strip() for text in texts):
        yield f"schema: <{name}> has text"
    yield from _of_info(element) if name == "info" else _of_children(element)


def _of_info(info: ET.Element) -> Iterator[str]:
    for inner in info.iter():
        if inner is not info and inner.tag.startswith(f"{{{NAMESPACE}}}"):
            yield f"304: <info> has {inner.tag}"


def _of_children(element: ET.Element) -> Iterator[str]:
    name = _name(element)
    names = [_name(child) for child in element]
    for child in element:
        if _name(child) not in _CHILDREN[name]:
            yield f"700: <{child.tag}> may not stand in <{name}>"
        else:
            yield from _of_element(child)
    if names.count("info") > 1:
        yield f"105, 155, 601: <{name}> has several <info>"
    if name == "emotion" and "category" not in names:
        yield "156: an <emotion> says nothing of an emotion"
    if name == "vocabulary" and "item" not in names:
        yield "600: a vocabulary is empty"
    for kind, number in (("category", 213), ("item", 608)):
        told = [child.get("name") for child in element if _name(child) == kind]
        if len(told) != len(set(told)):
            yield f"{number}: <{name}> has two <{kind}> of the same name"


def _of_ids(root: ET.Element) -> Iterator[str]:
    told = [element.get("id") for element in root.iter() if _name(element) and element.get("id")]
    if len(told) != len(set(told)):
        yield "174, 306, 605: an id is there twice"


def _of_vocabularies(root: ET.Element) -> Iterator[str]:
    """Categories come from a vocabulary of this document; others are not followed."""
    known = {
        f"#{vocabulary.get('id')}": vocabulary
        for vocabulary in root
        if _name(vocabulary) == "vocabulary"
    }
    for emotion in (child for child in root if _name(child) == "emotion"):
        where = emotion.get("category-set", root.get("category-set"))
        vocabulary = known.get(where or "")
        if where is None:
            yield "210: there are categories, and no vocabulary of them"
        elif vocabulary is None or vocabulary.get("type") != "category":
            yield f"114, 161: {where} is no vocabulary of categories"
        else:
            names = {item.get("name") for item in vocabulary if _name(item) == "item"}
            told = {child.get("name") for child in emotion if _name(child) == "category"}
            yield from (f"212: {name} is not in {where}" for name in told - names)
        reference = emotion.get("time-ref-uri", "")
        ids = {element.get("id") for element in chain(root.iter()) if _name(element)}
        if reference.startswith("#") and reference[1:] not in ids:
            yield f"423: nothing is called {reference}"
