"""The comparisons of an ablation, judged from its records: all in points (hundredths of the objective).

The one place that hands scores to the statistics. A trial counts with its score at full budget, however it
ended; one without it is missing, and so is its seed in every comparison that needs it.
"""

import math
import statistics as plain_statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hjepa.search.ablation.cells import design_at
from hjepa.search.ablation.claims import Claim, Judged, judge
from hjepa.search.ablation.designs import Comparison
from hjepa.search.ablation.effects import Effect, effect
from hjepa.search.ablation.statistics import Row, table
from hjepa.search.files import read_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

POINTS = 100.0
#: What is below would be printed as 0, or as more than it is.
SMALLEST_P = 0.0001
#: Metrics of the objective that test.json holds, by their names on the hold-out.
TEST = {"probe.top1": "test.probe.top1", "knn.top1": "test.knn.top1"}

Scores = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Compared:
    """One row of an ablation's table; `test` is the effect on the test split, once every trial has ended."""

    comparison: Comparison
    row: Row
    claims: tuple[Judged, ...]
    test: Effect | None

    @property
    def effect(self) -> Effect:
        """The effect on the hold-out."""
        return self.row.effect


def compare(records: StudyRecords) -> tuple[Compared, ...]:
    """Every comparison of an ablation's design, as far as it is decided; none for a search."""
    study = Study.load(records.directory / "study.yaml")
    return compared(study, records.trials(), records.metric)


def compared(study: Study, trials: Sequence[TrialRecord], metric: str) -> tuple[Compared, ...]:
    """The comparisons of a study over these trials."""
    if study.design is None or study.spec.ablation is None:
        return ()
    design = design_at(study.design, trials, metric)
    scores, states = scores_on_hold_out(study, trials, metric), states_of(study, trials)
    margin = study.spec.ablation.margin
    rows = table([_effect(study, comparison, scores, states, margin) for comparison in design.comparisons])
    tested = scores_on_test(study, trials, metric)
    return tuple(
        Compared(
            comparison,
            row,
            tuple(judge(claim, row.effect) for claim in _claims(study, comparison.name)),
            _effect(study, comparison, tested, {}, None) if tested else None,
        )
        for comparison, row in zip(design.comparisons, rows, strict=True)
    )


def spread(rows: Sequence[Compared]) -> float | None:
    """The measured spread of a cell's score over seeds, in points, that pairing leaves: pooled over the rows."""
    variances = [
        row.effect.sd**2 / size(row.comparison) for row in rows if row.effect.sd is not None and row.effect.sd > 0
    ]
    return math.sqrt(plain_statistics.fmean(variances)) if variances else None


def size(comparison: Comparison) -> float:
    """The variance of a comparison at one seed, over that of a cell's score there."""
    return 1.0 / len(comparison.minuend) + 1.0 / len(comparison.subtrahend)


def p_value(p: float | None, star: bool | None = False) -> str:
    """A p value as people read it, which is never 0; nothing where there is no test."""
    if p is None:
        return ""
    return ("<0.0001" if p < SMALLEST_P else f"{p:.4f}") + ("*" if star else "")


def subtraction(design: str) -> str:
    """What an effect is the difference of, in words."""
    return "a label minus the first, seed by seed" if design == "a_a" else "with minus without on the same seeds"


def entry(row: Compared) -> dict[str, Any]:
    """A comparison as in the JSON report: plain data, points."""
    found = row.effect
    interval, flip, bootstrap, equal = found.interval, found.sign_flip, found.bootstrap, found.equivalence
    return {
        "name": row.comparison.name,
        "kind": row.comparison.kind,
        "difference": row.comparison.says,
        "effect": found.mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "sd": found.sd,
        "p": found.p,
        "p_holm": row.row.p,
        "significant": row.row.significant,
        "p_sign_flip": flip.p if flip else None,
        "p_sign_flip_floor": flip.floor if flip else None,
        "p_wilcoxon": found.wilcoxon,
        "bootstrap": [bootstrap.low, bootstrap.high] if bootstrap else None,
        "bootstrap_coverage": bootstrap.coverage if bootstrap else None,
        "margin": equal.margin if equal else None,
        "p_equivalent": row.row.p_equivalent,
        "equivalent": row.row.equivalent,
        "seeds": list(found.seeds),
        "differences": list(found.differences),
        "missing": [{"seed": gap.seed, "side": gap.side, "state": gap.state} for gap in found.missing],
        "conclusion": row.row.words,
        "claims": [_claim_entry(judged) for judged in row.claims],
        "test": None if row.test is None else _test_entry(row.test),
    }


def _claim_entry(judged: Judged) -> dict[str, Any]:
    return {
        "effect": [judged.claim.low, judged.claim.high],
        "source": judged.claim.source,
        "verdict": judged.verdict,
        "more_seeds": judged.more_seeds,
        "words": judged.words,
    }


def _test_entry(found: Effect) -> dict[str, Any]:
    interval = found.interval
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {"effect": found.mean, "low": low, "high": high, "seeds": list(found.seeds)}


def _by_cell(study: Study, trials: Sequence[TrialRecord]) -> dict[str, dict[int, TrialRecord]]:
    """{cell: {the study's seed: trial}}: the labels of an A/A study meet at the seed that each is shifted from."""
    shifts = {cell.name: cell.shift for cell in study.design.cells} if study.design else {}
    seen: dict[str, dict[int, TrialRecord]] = {}
    for trial in trials:
        seen.setdefault(trial.cell, {})[trial.seed - shifts.get(trial.cell, 0)] = trial
    return seen


def states_of(study: Study, trials: Sequence[TrialRecord]) -> dict[str, dict[int, str]]:
    """{cell: {seed: how its trial ended}}; a duplicate's is its original's."""
    ends = {trial.id: trial.state for trial in trials}
    return {
        name: {seed: ends.get(trial.duplicate_of or "", trial.state) for seed, trial in cell.items()}
        for name, cell in _by_cell(study, trials).items()
    }


def scores_on_hold_out(study: Study, trials: Sequence[TrialRecord], metric: str) -> Scores:
    """{cell: {seed: score at full budget}}, in points."""
    return {
        name: {
            seed: POINTS * trial.score
            for seed, trial in cell.items()
            if trial.metric == metric and trial.score is not None
        }
        for name, cell in _by_cell(study, trials).items()
    }


def _effect(
    study: Study,
    comparison: Comparison,
    scores: Scores,
    states: Mapping[str, Mapping[int, str]],
    margin: float | None,
) -> Effect:
    """The call of the statistics: each side's mean over its cells, on the seeds on which all of them have a score."""
    sides = []
    for cells in (comparison.minuend, comparison.subtrahend):
        means: dict[int, float] = {}
        lost: dict[int, str] = {}
        for seed in study.spec.seeds:
            without = [name for name in cells if seed not in scores.get(name, {})]
            if without:
                ends = [f"{name} {states.get(name, {}).get(seed, 'not run')}" for name in without]
                lost[seed] = ", ".join(ends)
            else:
                means[seed] = plain_statistics.fmean(scores[name][seed] for name in cells)
        sides.append((means, lost))
    (with_scores, with_lost), (without_scores, without_lost) = sides
    return effect(
        comparison.name,
        with_scores,
        without_scores,
        with_missing=with_lost,
        without_missing=without_lost,
        margin=margin,
    )


def _claims(study: Study, name: str) -> list[Claim]:
    return [Claim(name, *claim.effect, claim.source) for claim in study.spec.claims if claim.factor == name]


def ended(study: Study, trials: Sequence[TrialRecord], metric: str) -> bool:
    """Whether every trial that the design asks for has ended; a path may ask for no more before it is at its goal."""
    if study.design is None:
        return False
    asked = len(design_at(study.design, trials, metric).cells) * len(study.spec.seeds)
    return len(trials) >= asked and all(trial.final for trial in trials)


def scores_on_test(study: Study, trials: Sequence[TrialRecord], metric: str) -> Scores:
    """What the trials' test.json hold, in points, once every trial has ended; a duplicate's is its original's."""
    if not ended(study, trials, metric):
        return {}
    seen = _by_cell(study, trials)
    directories = {trial.id: trial.directory for trial in trials}
    scores: Scores = {}
    for name, cell in seen.items():
        for seed, trial in cell.items():
            content = read_json(directories.get(trial.duplicate_of or "", trial.directory) / "test.json") or {}
            value = content.get(TEST.get(metric, ""))
            if value is not None:
                scores.setdefault(name, {})[seed] = POINTS * float(value)
    return scores
