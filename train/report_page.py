"""The text and layout of an evaluation's page (a jinja2 template; all values are escaped)."""

from __future__ import annotations

from typing import Final

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of {{ results.bundle.name }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #20262d; margin: 2rem auto; max-width: 60rem;
       padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #e0e4e9; }
th:first-child, td:first-child { text-align: left; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.missed { font-weight: 700; color: #a3261b; }
.scroll { overflow-x: auto; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pair img { max-width: 100%; height: auto; flex: 1 1 20rem; min-width: 0; }
img { max-width: 100%; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Evaluation of the bundle {{ results.bundle.name }} {{ results.bundle.version }}</h1>
<p>Measured {{ results.date }} in {{ results.seconds }} s, through the bundle's own graphs as they
are shipped ({{ results.engine }}).
Bundle <code>{{ results.bundle.sha256 }}</code>.
Licence: {{ results.bundle.licence }}.</p>

<h2>What was reached</h2>
<div class="scroll"><table>
<tr><th>measured, in percent</th><th>value</th><th>95 % interval</th><th>wanted</th><th></th></tr>
{% for row in results.reached %}
<tr><td>{{ row.what }}</td><td>{{ row.value | percent }}</td><td>{{ row.interval | interval }}</td>
<td>{% if row.bound %}{{ row.bound }} {{ row.goal | percent }}{% endif %}</td>
<td{% if row.reached is false %} class="missed"{% endif %}>
{%- if row.reached is true %}reached{% elif row.reached is false %}not reached{% endif %}</td></tr>
{% endfor %}
</table></div>

<h2>How to read this</h2>
<ul>
<li>The labels are of an <strong>expression, not of an inner state</strong>: how people who wrote
the corpora's labels read a line, a voice or a face.</li>
<li><strong>W-F1</strong> is F1 per class, weighted by how often each class occurs. <strong>UAR
</strong> is the mean recall of the classes that occur, rare ones counting as much as common ones.
<strong>ECE</strong> is how far confidence and share of right answers lie apart, over 15 bins.</li>
<li><strong>Intervals</strong> are 95 % percentile bootstraps ({{ results.bootstrap_rounds }}
rounds): over dialogues on MELD, over clips on RAVDESS, over faces on FER2013. Differences are taken
on the same resampled dialogues. They do not cover the choice of training seed.</li>
<li><strong>Causal</strong>: the words alone and everything called "fused" see an utterance and
what came before it, step by step, as in a live conversation.</li>
{% if results.revised %}
<li><strong>Rows called "right context" see a little of the future</strong>: an utterance is looked
at again when one or two later ones have come, as a live conversation does when it revises a result;
at a dialogue's end they see what there is.</li>
{% endif %}
{% if results.paper %}
<li><strong>Only the rows called "paper mode" see the whole future</strong>: attention over the
whole dialogue, as published, unusable live. They are for comparison with published tables, and
their confidence is not calibrated.</li>
{% elif not results.revised %}
<li>Nothing here sees the future: this bundle has no right context and no graph of the paper
mode.</li>
{% endif %}
<li><strong>Few actors</strong>: the voices of the test are
{{ results.counts.ravdess_test.clips }} clips of only {{ results.counts.ravdess_test.actors }}
actors, speaking two sentences in a studio. The interval is over clips; another set of actors may
well fall outside it. UAR per actor:
{% for actor, value in results.actors.items() %}{{ actor }}: {{ value | percent }}
{%- if not loop.last %}, {% endif %}{% endfor %}.</li>
</ul>

<h2>The paired corpus is made, not found</h2>
<p>No corpus at hand has words, voice and face of the same moment. So MELD's test dialogues
({{ results.counts.meld_test.dialogues }} dialogues,
{{ results.counts.meld_test.utterances }} utterances) give words, speakers and order; each speaker
is given one RAVDESS actor of the test actors, and each utterance a clip of that actor and one to
four FER2013 test faces with the utterance's label. Since acted studio material is far more reliable
than television, {{ results.pairing.test_exchange.audio | percent }} % of the utterances get a
voice, and {{ results.pairing.test_exchange.video | percent }} % a face, of a label drawn at random.
These shares were chosen, on the test material itself, so that the borrowed voices alone come near
45 W-F1 and the borrowed faces near 35, the figures published for MELD's own voice and picture, for
a classifier that knows how often a label was exchanged, as one trained on such material does. Here
the voices alone have
{{ results.pairing.borrowed_alone_weighted_f1.audio | percent }} and the faces
{{ results.pairing.borrowed_alone_weighted_f1.video | percent }}.
The errors of voice, face and words are independent here, which real ones are not:
<strong>the gain from fusing says that the fusion uses what it is given; it is not a promise for a
natural recording</strong>. Numbers are means over {{ results.pairing.seeds | length }} pairings
(seeds {{ results.pairing.seeds | join(", ") }}).</p>
<p>Spoiled words have a recogniser's errors (words dropped, swapped for similar-sounding ones, cut
off), made by a program, not by a recogniser:
{{ results.spoiling.word_error_rate | percent }} % word error rate against the same words without
case and punctuation. {{ results.spoiling.utterances_without_words }} utterances are left without
any word; in the fusion they count as having no text, as in the runtime.</p>

<h2>All conditions</h2>
<p>In percent, with 95 % intervals. The calibration error (ECE) is never 0 on few rows: "by chance"
is what perfectly calibrated answers would show on as many.</p>
<div class="scroll"><table>
<tr><th>condition</th><th>rows</th><th>W-F1</th><th></th><th>accuracy</th><th></th><th>UAR</th>
<th></th><th>ECE</th><th>by chance</th></tr>
{% for kind, condition, name, one in scores %}
<tr><td>{{ name }}</td><td>{{ one.count }}</td>
{% for number in (one.weighted_f1, one.accuracy, one.uar) %}
<td>{{ number.value | percent }}</td><td>{{ (number.low, number.high) | interval }}</td>
{% endfor %}
<td>{{ one.ece | percent }}{% if kind == "paper" %} (not calibrated){% endif %}</td>
<td>{{ one.ece_noise | percent }}</td></tr>
{% endfor %}
</table></div>
<p><img src="{{ picture("conditions.png") }}" alt="W-F1 of each condition on MELD"></p>

<h2>Differences of W-F1</h2>
<div class="scroll"><table>
<tr><th>difference, in points</th><th>value</th><th>95 % interval</th><th>each pairing</th></tr>
{% for name, one in results.differences.items() %}
<tr><td>{{ name }}{% if "paper" in name or "again" in name %} (sees the future)
{%- endif %}</td>
<td>{{ one.value | points }}</td><td>{{ one.low | points }} to {{ one.high | points }}</td>
<td>{% for run in one.runs %}{{ run | points }}{% if not loop.last %}, {% endif %}{% endfor %}</td>
</tr>
{% endfor %}
</table></div>

{% if results.changed %}
<p>A second look changes labels, in percent of the utterances:
{% for name, one in results.changed.items() %}
{{ named["revised", name] }}: {{ one.share | percent }}, to the right one
{{ one.to_right | percent }}, from it {{ one.from_right | percent }}{{ "." if loop.last else ";" }}
{% endfor %}</p>
{% endif %}

<h2>Per class</h2>
{% for kind, condition, name, one in scores %}
<details{% if condition in ("test", "text+audio+video") and kind != "paper" %} open{% endif %}>
<summary>{{ name }}</summary>
<table>
<tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>count</th></tr>
{% for label, row in one.per_class.items() %}
<tr><td>{{ label }}</td><td>{{ row.precision | percent }}</td><td>{{ row.recall | percent }}</td>
<td>{{ row.f1 | percent }}</td><td>{{ row.count }}</td></tr>
{% endfor %}
</table></details>
{% endfor %}

<h2>Confusion and reliability</h2>
<p>Rows of a matrix are what was labelled, columns what was predicted. Where there are several
pairings, the counts are of all of them together.</p>
{% for name, files in figures %}
<h3>{{ name }}</h3>
<div class="pair">
{% for file in files %}<img src="{{ picture(file) }}" alt="{{ file }}" loading="lazy">
{% endfor %}</div>
{% endfor %}

<h2>With what</h2>
<p>{% for package, version in results.versions.items() %}{{ package }} {{ version }}
{%- if not loop.last %}, {% endif %}{% endfor %}.
All numbers are in <code>results.json</code>.</p>
</body>
</html>
"""
