"""The model card of the starter bundle, with the numbers that evaluation measured."""

from __future__ import annotations

from typing import Any

from magtkd_rt.train.conditions import LATER, difference_of

UNMEASURED = "Not measured yet: `magtkd train starter` measures as its last stage.\n"

_CARD = """# starter: a small MAGTKD bundle

Recognises the *expression* in an utterance (neutral, joy, sadness, anger, surprise, fear,
disgust) from its words, its voice, the speaker's face and the conversation so far. It says what
an utterance sounds and looks like to people who labelled acted material; it does not know what
anybody feels.

## Licence and what it is not for
The weights were trained on data that may not be used commercially: **research use only**.

| data | licence | used for |
|---|---|---|
{data}

Not for decisions about people: hiring, grading, policing, insurance, health. Not at work or in
school: the EU AI Act (article 5) forbids inferring emotions from biometric data there. Not
without telling the people who are recorded. English only; the words come from one television
series, the voices from 24 North American actors speaking two sentences, the faces from a web
search of 2013 whose labels are about two thirds right. Expect it to be worse on anybody and
anything else, and unevenly so.

## How it was made
`magtkd train starter --data DIR --out DIR`: fixed seeds, best epoch of every stage by dev.

- **Words**: all-MiniLM-L6-v2 (22.7 M parameters) with MAGTKD's prompt, {max_tokens} tokens, past
  only. In training {spoiled:.0%} of the utterances had a speech recogniser's errors.
- **Voice**: a new head on the middle layers of YAMNet and of Resemblyzer's voice encoder, whose
  weights stayed as they came, from the waveform; level normalised inside. Noise, rooms, telephone
  bands and speeds were varied. The temperature is that of training clips by heads that had not
  heard their actors.
- **Face**: a small VGG from scratch, grey faces of 48 x 48 pixels; an utterance is the mean over
  its faces.
- **Who speaks**: Resemblyzer's voice encoder (GE2E), its weights as they came; its vectors are
  whitened by how they vary within one voice, on RAVDESS with telephones, noise and rooms. An
  utterance that is over is named by 3D-Speaker's CAM++, whitened in the same way.
- **Fusion**: streaming MAGT, {size} wide, {heads} heads, window of {window} utterances; it may look
  again at an utterance when up to {right} later ones have come. And the paper mode beside it, which
  sees the whole future and is for comparison only.

**The fusion did not learn from natural conversations with voice and face: there were none.**
MELD's dialogues gave words, speakers and order. Each speaker of a dialogue was given one RAVDESS
actor, each utterance one to {faces} FER2013 faces with the utterance's label. Since acted voices
are far clearer than those of a series, labels of borrowed voices and faces were exchanged for
random ones, in every split by its own labels, until each modality alone, read by a classifier that
knows how often its labels lie, was only as reliable as published for MELD (voice about 45, face
about 35 W-F1); shares exchanged: {exchange}. The words
and voices of the training dialogues were encoded by students that had not learned from them, so
that they are as unsure as new ones. Modalities were dropped at random, and part of the words were
spoiled. Splits never mix. So the fused numbers below are about this construction, not about real
calls.

## Measured
{measured}"""


def render(bundle_facts: dict[str, Any], results: dict[str, Any] | None) -> str:
    """The card; `results` is what :func:`magtkd_rt.train.evaluate.evaluate` returned."""
    return _CARD.format(**bundle_facts, measured=_measured(results) if results else UNMEASURED)


def _measured(results: dict[str, Any]) -> str:
    lines = [
        "On the test splits, through the shipped graphs; 95 % bootstrap. Weights, epochs, settings",
        "and temperatures were chosen without them. They had been looked at before, though: three",
        "earlier bundles were measured on them, and so it was seen that borrowed faces said",
        "nothing and that the fusion lost some of what the words say. Both were mended. This is",
        "the fourth look.",
        "",
        "| what | measured | interval | wanted |",
        "|---|---|---|---|",
    ]
    for row in results["reached"]:
        interval = row["interval"]
        between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        wanted = f"{row['bound']} {row['goal']}" if row["goal"] is not None else ""
        lines.append(f"| {row['what']} | {row['value']:.3f} | {between} | {wanted} |")
    lines += _fused(results)
    for kind, title in (
        ("text", "words, MELD test"),
        ("audio", "voice, RAVDESS actors 21-24"),
        ("video", "face, FER2013 private test"),
    ):
        scores = results[kind]["test"]
        lines += ["", f"Per class, {title}:", "", "| label | F1 |", "|---|---|"]
        lines += [f"| {label} | {value:.3f} |" for label, value in class_f1(scores).items()]
    lines.append("")
    return "\n".join(lines)


def _fused(results: dict[str, Any]) -> list[str]:
    """The table of the fusion, by how far it sees."""
    aheads = sorted({ahead for name in results["revised"] if (ahead := name.partition(LATER)[2])})
    lines = ["", "Fused on the paired MELD test, W-F1 by what is present. All but the first column"]
    lines += ["of numbers see the future; those in between were looked at again when so many later"]
    lines += ["utterances had come:", ""]
    lines += [
        f"| present | causal |{''.join(f' {ahead} later |' for ahead in aheads)} paper mode |",
        "|---|---|" + "---|" * (len(aheads) + 1),
    ]
    for name, scores in results["fused"].items():
        seen = [scores, *(results["revised"].get(f"{name}{LATER}{a}") for a in aheads)]
        seen.append(results["paper"].get(name))
        shown = [f"{one['weighted_f1']['value']:.3f}" if one else "" for one in seen]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    for name, one in results["changed"].items():
        gain = results["differences"][difference_of(name)]
        lines += [
            "",
            f"{name}: {one['share']:.1%} of the labels change, {one['to_right']:.1%} to the right "
            f"one, {one['from_right']:.1%} from it; W-F1 {100 * gain['value']:+.1f} points "
            f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}).",
        ]
    return lines


def class_f1(scores: dict[str, Any]) -> dict[str, float]:
    """F1 by label."""
    return {label: float(row["f1"]) for label, row in scores["per_class"].items()}
