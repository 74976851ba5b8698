"""The text and layout of stage 2's pages (jinja2 templates; all values are escaped)."""

from __future__ import annotations

from typing import Final

_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #20262d; margin: 2rem auto; max-width: 64rem;
       padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #e0e4e9; }
th:first-child, td:first-child, .words { text-align: left; }
.missed { font-weight: 700; color: #a3261b; }
.ours { background: #eef4fa; }
.scroll { overflow-x: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pictures img { max-width: 100%; height: auto; flex: 0 1 24rem; min-width: 0; }
code { overflow-wrap: anywhere; }
</style>
"""

PAGE: Final = (
    _HEAD
    + """\
<title>{{ results.title }}</title>
</head>
<body>
<h1>{{ results.title }}</h1>
<p>Measured {{ results.date }} in {{ results.seconds }} s. All numbers are in
<code>results.json</code>; <a href="leaderboard.html">the leaderboard</a> sets them beside published
ones.</p>

{% set goals = results.corpora | map(attribute="goals", default=[]) | sum(start=[]) %}
{% if goals %}
<h2>What was to be reached</h2>
<div class="scroll"><table>
<tr><th>measured, in percent</th><th>value</th><th>95 % interval</th><th>wanted</th><th></th></tr>
{% for row in goals %}
<tr><td>{{ row.what }}</td><td>{{ row.value | percent }}</td><td>{{ row.interval | interval }}</td>
<td>{{ "more than" if row.strictly else "at least" }} {{ row.wanted | percent }}</td>
<td{% if not row.reached %} class="missed"{% endif %}>
{{- "reached" if row.reached else "not reached" }}</td></tr>
{% endfor %}
</table></div>
{% endif %}

<h2>How to read this</h2>
<ul>
<li>The labels are of an <strong>expression, not of an inner state</strong>: how people who wrote a
corpus's labels read a line, a voice or a face.</li>
<li>Values are <strong>means over seeds</strong>; <strong>sd</strong> is over seeds, of one system's
runs. <strong>Intervals</strong> are 95 % percentile bootstraps ({{ results.rounds }} rounds) over
what is drawn together (dialogues, or clips); they do not cover the choice of seeds.</li>
<li><strong>Differences</strong> are taken on the same resampled utterances; <strong>p</strong> is
of a permutation test that exchanges the two systems' answers for whole dialogues, in all seeds
alike. Nothing is corrected for how many pairs are compared.</li>
<li><strong>Who sees the future</strong> says it: "causal" systems see an utterance and what came
before; R = 1 and R = 2 look again when one or two later ones have come; "paper mode" sees the whole
dialogue, which no live conversation can.</li>
<li>Epochs, temperatures and the treatment of rare labels are chosen on dev only.</li>
<li><strong>ECE</strong> is how far confidence and share of right answers lie apart, over 15 bins;
on few rows it is never 0: "by chance" is what perfectly calibrated answers would show.</li>
</ul>

{% for corpus in corpora %}
<h2>{{ corpus.corpus }}</h2>
<p>{{ corpus.utterances }} utterances in {{ corpus.groups }} groups; always answering the most
frequent label is right in {{ corpus.majority | percent }} %.</p>
<div class="scroll"><table>
<tr><th>system</th><th class="words">sees</th><th>{{ corpus.metric | metric }}</th><th>sd</th>
<th>95 % interval</th>
{% for score in ("accuracy", "weighted_f1", "uar") if score != corpus.metric %}
<th>{{ score | metric }}</th>
{% endfor %}
<th>ECE</th><th>by chance</th></tr>
{% for name, one in corpus.systems.items() %}
{% set main = one[corpus.metric] %}
<tr><td>{{ name }}{% if one.note %} ({{ one.note }}){% endif %}</td>
<td class="words">{{ one.sees }}{% if one.sees_future %}: <strong>future</strong>{% endif %}</td>
<td>{{ main.value | percent }}</td>
<td>{% if main.runs | length > 1 %}{{ main.sd | percent }}{% endif %}</td>
<td>{{ (main.low, main.high) | interval }}</td>
{% for score in ("accuracy", "weighted_f1", "uar") if score != corpus.metric %}
<td>{{ one[score].value | percent }}</td>
{% endfor %}
<td>{{ one.ece | percent }}</td><td>{{ one.ece_noise | percent }}</td></tr>
{% endfor %}
</table></div>
{% if corpus.tests %}
<div class="scroll"><table>
<tr><th>difference of {{ corpus.metric | metric }}, in points</th><th>value</th>
<th>95 % interval</th><th>p</th></tr>
{% for one in corpus.tests %}
<tr><td>{{ one.first }} &minus; {{ one.second }}</td><td>{{ one.value | points }}</td>
<td>{{ one.low | points }} to {{ one.high | points }}</td><td>{{ "%.3f" | format(one.p) }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
{% if corpus.dev is defined %}
<p>On dev (W-F1, each seed):
{% for name, values in corpus.dev.items() %}
{{ name }}: {% for value in values %}{{ value | percent }}{{ ", " if not loop.last }}{% endfor %}
{{- "; " if not loop.last else "." }}
{% endfor %}</p>
{% endif %}
{% if corpus.actors is defined %}
<p>UAR of each actor:
{% for name, actors in corpus.actors.items() %}
{{ name }}: {% for actor, value in actors.items() %}{{ actor }} {{ value | percent }}
{{- ", " if not loop.last }}{% endfor %}{{ "; " if not loop.last else "." }}
{% endfor %}</p>
{% endif %}
<details><summary>Per class</summary>
{% for name, one in corpus.systems.items() %}
<table>
<tr><th>{{ name }}</th><th>precision</th><th>recall</th><th>F1</th><th>count</th></tr>
{% for label, row in one.per_class.items() %}
<tr><td>{{ label }}</td><td>{{ row.precision | percent }}</td><td>{{ row.recall | percent }}</td>
<td>{{ row.f1 | percent }}</td><td>{{ row.count }}</td></tr>
{% endfor %}
</table>
{% endfor %}
</details>
<div class="pictures">
{% for file in pictures[corpus.corpus] %}
<img src="{{ file | embedded }}" alt="{{ file }}" loading="lazy">
{% endfor %}
</div>
{% if corpus.settings is defined %}
<details><summary>Settings</summary>
{% for name, value in corpus.settings.items() %}<p>{{ name }}: <code>{{ value }}</code></p>
{% endfor %}
</details>
{% endif %}
{% endfor %}

<h2>With what</h2>
<p>{% for package, version in results.versions.items() %}{{ package }} {{ version }}
{%- if not loop.last %}, {% endif %}{% endfor %}.</p>
</body>
</html>
"""
)

LEADERBOARD: Final = (
    _HEAD
    + """\
<title>Leaderboard</title>
</head>
<body>
<h1>Leaderboard</h1>
<p>Rows on blue ground were measured by this project, with epochs chosen on dev; the others are
published figures, some of them with the epoch chosen on test. <strong>Rows marked "future" see
utterances that a live conversation does not have yet.</strong> Compare only within a corpus and
split.</p>
{% for corpus, rows in corpora.items() %}
<h2>{{ corpus }}</h2>
<div class="scroll"><table>
<tr><th>system</th><th>in percent</th><th>95 % interval</th><th class="words">metric</th>
<th class="words">sees</th><th class="words"></th></tr>
{% for row in rows %}
<tr{% if row.ours %} class="ours"{% endif %}><td>{{ row.system }}</td>
<td>{{ row.value | percent }}</td><td>{{ row.interval | interval }}</td>
<td class="words">{{ row.metric | metric }}</td><td class="words">{{ row.sees }}</td>
<td class="words">{% if row.sees_future %}<strong>future</strong>{% endif %}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
</body>
</html>
"""
)
