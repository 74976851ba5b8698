"""Jobs that are out: what each was asked for, and what is told of those that failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from magtkd_rt import wire
from magtkd_rt.core.jobs import Failed, GaveWay, Job
from magtkd_rt.core.outbox import Outbox
from magtkd_rt.core.revisions import Told
from magtkd_rt.core.utterance import Evidence, Utterance


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that is out, and what its result is for."""

    job: Job
    utterance: Utterance
    kind: Literal["transcribe", "guess", "encode", "identify", "draft", "fuse", "revise"]
    modality: wire.ModalityName | None = None
    evidence: Evidence | None = None
    told: Told | None = None


class Requests:
    """All jobs whose results are awaited.

    Args:
        outbox: takes jobs, and the events that tell of failures.
        totals: counters to add to.
    """

    def __init__(self, outbox: Outbox, totals: Counter[str]) -> None:
        self._out = outbox
        self._totals = totals
        self._asked: dict[int, Asked] = {}
        self._failures_told: set[str] = set()

    def ask(self, asked: Asked) -> None:
        """Send a job."""
        self._asked[asked.job.job_id] = asked
        self._out.ask(asked.job)

    def new_id(self) -> int:
        """The next job's number."""
        return self._out.new_job_id()

    def answered(self, job_id: int) -> Asked | None:
        """What a result is for; None where it is not awaited (any more)."""
        return self._asked.pop(job_id, None)

    def forget(self, utterance: Utterance) -> None:
        """Results that are still out for an utterance concern nobody."""
        for job_id in [n for n, asked in self._asked.items() if asked.utterance is utterance]:
            del self._asked[job_id]

    def tell_failure(self, asked: Asked, value: object) -> None:
        """Count a failure; its kind is told once, not once an utterance."""
        kind: str = asked.kind if asked.modality is None else f"encode_{asked.modality}"
        if isinstance(value, GaveWay):
            self._totals[f"gave_way_{kind}"] += 1
            return
        self._totals[f"failed_{kind}"] += 1
        kind = "fuse" if kind in ("draft", "revise") else kind
        if kind not in self._failures_told:
            self._failures_told.add(kind)
            wanted = kind.replace("_", " ")
            message = value.message if isinstance(value, Failed) else f"unusable result of {wanted}"
            self._out.status("warning", f"{kind}_failed", message)
