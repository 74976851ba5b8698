"""The page that tells how well speakers are told apart; it stands alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from magtkd_rt.train.diarization.judging import HEADLINE

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Speakers by {{ results.bundle.name }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #20262d; margin: 2rem auto; max-width: 64rem;
       padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #e0e4e9; }
th:first-child, td:first-child { text-align: left; }
.missed { font-weight: 700; color: #a3261b; }
.scroll { overflow-x: auto; }
img { max-width: 100%; height: auto; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Who speaks: the bundle {{ results.bundle.name }}</h1>
<p>Measured {{ results.date }} in {{ results.seconds }} s, through the whole product without
transcription. Bundle <code>{{ results.bundle.sha256 }}</code>.</p>

{% set sum = results.summary %}
<h2>Built conversations</h2>
<div class="scroll"><table>
<tr><th>over {{ results.conversations | length }} conversations</th><th>value</th>
<th>95 % interval</th><th>wanted</th></tr>
<tr><td>diarization error rate, mean</td><td>{{ sum.error_rate.value | percent }}</td>
<td>{{ sum.error_rate | interval }}</td><td>20 at most</td></tr>
<tr><td>right number of speakers</td><td>{{ sum.speakers_right.value | percent }}</td>
<td>{{ sum.speakers_right | interval }}</td><td>80 at least</td></tr>
{% for count, row in sum.by_speakers.items() %}
<tr><td>{{ count }} speakers ({{ row.conversations }} conversations): error rate</td>
<td>{{ row.error_rate | percent }}</td><td></td><td></td></tr>
<tr><td>&emsp;right number of speakers</td>
<td>{{ row.speakers_right }} of {{ row.conversations }}</td><td></td><td></td></tr>
{% endfor %}
<tr><td>changes of the speaker: true, missed, false</td>
<td>{{ sum.changes.true }}, {{ sum.changes.missed }}, {{ sum.changes.false }}</td><td></td>
<td></td></tr>
<tr><td>delay of a change: median, p95</td>
<td>{{ sum.changes.delay_s.median | seconds }}, {{ sum.changes.delay_s.p95 | seconds }}</td>
<td></td><td>p95 1.2 s at most</td></tr>
<tr><td>&emsp;until the old utterance was cut: median, p95</td>
<td>{{ sum.changes.cut_delay_s.median | seconds }}, {{ sum.changes.cut_delay_s.p95 | seconds }}</td>
<td></td><td></td></tr>
<tr><td>utterances of an unsure speaker</td>
<td>{{ sum.unsure_utterances }} of {{ sum.utterances }}</td><td></td><td></td></tr>
<tr><td>compute for speakers, per second of speech</td>
<td>{{ "%.4f" | format(sum.compute_per_speech_second) }} s</td><td></td><td>0.06 s at most</td></tr>
</table></div>

<h2>How to read this</h2>
<ul>
<li>The conversations are <strong>built</strong>: two to four of the RAVDESS actors
{{ results.actors }} take twelve turns of one to three clips each, silence trimmed, without a pause.
{% if results.steady %}
The clips of a turn are of one emotion, the next turn's of another.
{% else %}
Each clip is in another emotion, within a turn too: calm may be followed by screaming.
{% endif %}
Acted speech in a studio, two sentences only: a voice changes more than in a conversation, the room
never does.</li>
<li><strong>Diarization error rate</strong> is pyannote.metrics', in percent: missed speech, false
alarms and confused speakers as a share of the speech; 0.25 s around each change are left out
(0.125 s on either side). There is no overlap here. An unsure utterance counts as confused.</li>
<li><strong>A change</strong> counts as found within half a second. Its delay runs from the instant
at which the new speaker begins to the media time of the event that announces the utterance that is
known to be theirs; the old utterance may have been cut before, by one of an unsure speaker.</li>
<li><strong>Intervals</strong> are 95 % percentile bootstraps over conversations
({{ results.bootstrap_rounds }} rounds). All conversations share the same few actors: others may
well fall outside.</li>
</ul>

<h2>Timelines</h2>
{% for caption, file in pictures %}
<h3>{{ caption }}</h3>
<p><img src="{{ picture(file) }}" alt="{{ caption }}: found speakers under true ones"></p>
{% endfor %}

<h2>Each conversation</h2>
<div class="scroll"><table>
<tr><th>seed</th><th>seconds</th><th>speakers</th><th>found</th><th>error rate</th><th>missed</th>
<th>false alarm</th><th>confusion</th><th>changes</th><th>missed</th><th>false</th></tr>
{% for one in results.conversations %}
{% set rate = one.diarization_error_rate[headline] %}
<tr><td>{{ one.seed }}</td><td>{{ "%.1f" | format(one.media_s) }}</td>
<td>{{ one.speakers.true | length }}</td>
<td{% if one.speakers.found | length != one.speakers.true | length %} class="missed"{% endif %}>
{{- one.speakers.found | length }}</td>
<td>{{ rate.rate | percent }}</td>
{% for part in (rate.missed, rate.false_alarm, rate.confusion) %}
<td>{{ (part / rate.total) | percent }}</td>
{% endfor %}
{% for kind in ("true", "missed", "false") %}<td>{{ one.changes[kind] }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>

{% if results.context %}
<h2>What speakers are worth to the context</h2>
<p>MELD's test dialogues with borrowed voices and faces, as in the bundle's own evaluation
({{ results.context.seeds | length }} pairings), through the streaming fusion. Only who is said to
speak differs: in the prompt of the words, and in the fusion's speaker embedding.
{% if results.context.found %}
Found speakers come from the voice prints of the clips, clustered turn by turn as the product does
it:
{{ results.context.found.turns_right | percent }} % of the turns have the right speaker,
{{ results.context.found.unknown | percent }} % an unknown one.
{% else %}
This bundle tells no voices apart, so there are no found speakers.
{% endif %}</p>
<div class="scroll"><table>
<tr><th>speakers</th><th>W-F1</th><th>95 % interval</th></tr>
{% for name, one in results.context.weighted_f1.items() %}
<tr><td>{{ name }}</td><td>{{ one.value | percent }}</td><td>{{ one | interval }}</td></tr>
{% endfor %}
</table>
<table>
<tr><th>difference of W-F1, in points</th><th>value</th><th>95 % interval</th></tr>
{% for name, one in results.context.differences.items() %}
<tr><td>{{ name }}</td><td>{{ "%+.1f" | format(100 * one.value) }}</td>
<td>{{ "%+.1f" | format(100 * one.low) }} to {{ "%+.1f" | format(100 * one.high) }}</td></tr>
{% endfor %}
</table></div>
<p>Intervals are paired bootstraps over dialogues.</p>
{% endif %}
<p>All numbers are in <code>results.json</code>.</p>
</body>
</html>
"""


def write(results: dict[str, Any], pictures: list[tuple[str, str]], out: Path) -> None:
    """Write `index.html`; the pictures (caption, file in `out`) are put into it."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["seconds"] = lambda value: "-" if value is None else f"{value:.2f} s"
    environment.filters["interval"] = lambda one: (
        f"{100 * one['low']:.1f} to {100 * one['high']:.1f}"
    )
    text = environment.from_string(_PAGE).render(
        results=results,
        pictures=pictures,
        headline=HEADLINE,
        picture=lambda file: (
            "data:image/png;base64," + base64.b64encode((out / file).read_bytes()).decode("ascii")
        ),
    )
    (out / "index.html").write_text(text, encoding="utf-8")
