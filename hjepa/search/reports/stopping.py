"""What early stopping saved in a study, and whether the scores it went by agree with those at full budget."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hjepa.config import rung_metric
from hjepa.search.files import last_lines
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.sections import SchedulerSpec
from hjepa.search.stopping.fidelity import Agreement, agreement
from hjepa.search.stopping.replay import Risk, risk
from hjepa.search.stopping.rule import Rule
from hjepa.search.stopping.schedulers import in_words, make_rule, rungs
from hjepa.search.study import Study

#: Completed trials that are replayed, at most, and reports over all orders.
REPLAYED, REPORTS = 100, 20_000
#: Columns of the table of rungs.
COLUMNS = ("rung (epoch)", "trials", "Spearman", "95 % interval", "Kendall", "best kept")


def agreement_of(study: Study, records: StudyRecords) -> dict[str, Any]:
    """How the order of trials at each rung agrees with their order at full budget, as in the JSON report.

    The rungs are those of the study's rule; of a rule without rungs, those that asha would have had. Each entry of
    `rungs` is of the trials that went to the end, each once.
    """
    if study.spec.scheduler.type == "pbt":  # a member's curve is of several runs
        return {"rungs": [], "words": []}
    scheduler = _with_rungs(study.spec.scheduler)
    milestones = rungs(scheduler, study.base)
    done = _finished(records)
    final = {trial.id: score for trial, score in done}
    curves = {trial.id: curve(trial, records.metric) for trial, _ in done} if milestones else {}
    at = {epoch: {name: scores[epoch] for name, scores in curves.items() if epoch in scores} for epoch in milestones}
    found = agreement(at, final, scheduler.reduction)
    stopped = any(trial.state == "early_stopped" for trial in records.trials())
    return {"rungs": [_entry(rung) for rung in found], "words": _words(found, scheduler.reduction, stopped)}


def early_stopping(study: Study, records: StudyRecords) -> dict[str, Any]:
    """Epochs that the study's rule saved against running its trials in full, as in the JSON report.

    Of the trials that have ended, duplicates aside: a trial that ended badly saved nothing.
    """
    ended = [trial for trial in records.trials() if trial.final and trial.state != "duplicate"]
    stopped = [trial for trial in ended if trial.state == "early_stopped"]
    full = records.epochs * len(ended)
    saved = sum(records.epochs - (trial.epoch or 0) for trial in stopped)
    rule = in_words(study.spec.scheduler, study.base)
    share = saved / full if full else None
    words = "early stopping: none, every trial runs to the end"
    if study.spec.scheduler.type == "pbt":
        words = f"early stopping: none; {rule}"
    elif study.spec.scheduler.type != "none":
        done = "no trial has ended yet"
        if share is not None:
            done = (
                f"{len(stopped)} of {len(ended)} trials stopped, {saved} of {full} epochs saved ({100 * share:.0f} %)"
            )
        words = f"early stopping ({rule}): {done}"
    risked = _risk(study, records)
    return {
        "rule": rule,
        "trials": len(ended),
        "stopped": len(stopped),
        "epochs_full": full,
        "epochs_saved": saved,
        "share_saved": share,
        "risk": None if risked is None else asdict(risked),
        "words": [words, *_risk_words(risked)],
    }


def _risk(study: Study, records: StudyRecords) -> Risk | None:
    """What the study's rule does to its completed trials in other orders of arrival; None without a rule.

    At most REPLAYED of them, drawn from a seed, in fewer orders where they are many: a report stays quick.
    """
    if study.spec.scheduler.type == "pbt" or make_rule(study.spec.scheduler, study.base) is None:
        return None
    done = _finished(records)
    if len(done) > REPLAYED:
        done = random.Random(0).sample(done, REPLAYED)
    curves = {trial.id: curve(trial, records.metric) for trial, _ in done}
    reports = sum(map(len, curves.values()))
    orders = max(5, min(200, REPORTS // max(1, reports)))

    def rule() -> Rule:
        made = make_rule(study.spec.scheduler, study.base)
        assert made is not None
        return made

    return risk(rule, curves, {trial.id: score for trial, score in done}, orders=orders)


def _finished(records: StudyRecords) -> list[tuple[TrialRecord, float]]:
    """The trials that went to the end, each once, and their scores there, whichever of a trial's scores counts."""
    ended = [trial for trial in records.trials() if trial.state == "completed"]
    scores = [(trial.result.get("metrics") or {}).get(records.metric) for trial in ended]
    return [(trial, float(s)) for trial, s in zip(ended, scores, strict=True) if isinstance(s, int | float)]


def _risk_words(found: Risk | None) -> list[str]:
    """What a replay risked, as a line; nothing where it cannot be said."""
    if found is None or found.lost is None or found.regret is None or found.saved is None:
        return []
    return [
        f"early stopping, replayed over the {found.trials} completed trials in {found.orders} random orders: the best "
        f"of them would have been stopped in {100 * found.lost:.0f} % of the orders (on average "
        f"{100 * found.regret:.2f} points lost), {100 * found.saved:.0f} % of the epochs saved"
    ]


def curve(trial: TrialRecord, metric: str) -> dict[int, float]:
    """{epoch: score} at the rungs of a trial, by the metric's stand-in there."""
    name = rung_metric(metric)
    lines = last_lines(trial.directory / "metrics.jsonl", ("rung", "full"))
    return {int(line["epoch"]): float(line[name]) for line in lines if line["epoch"] and line.get(name) is not None}


def rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """The rungs as cells of a table, in the order of COLUMNS; those that can be judged."""
    return [] if found is None else [_row(rung) for rung in found["rungs"] if rung["cannot"] is None]


def _with_rungs(spec: SchedulerSpec) -> SchedulerSpec:
    """The scheduler itself, or asha in place of one without rungs."""
    if spec.type in ("asha", "hyperband"):
        return spec
    return SchedulerSpec(type="asha", **({} if spec.type == "none" else {"grace": spec.grace}))


def _entry(found: Agreement) -> dict[str, Any]:
    interval = found.interval
    return {
        "epoch": found.epoch,
        "trials": found.trials,
        "spearman": found.spearman,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "kendall": found.kendall,
        "best_kept": found.kept_best,
        "cannot": found.cannot,
    }


def _words(found: Sequence[Agreement], reduction: int, stopped: bool) -> list[str]:
    """Was early stopping safe? As far as the trials that went to the end can say."""
    if not found:
        return ["rungs against the end: no rung lies below the full budget"]
    judged = [rung for rung in found if rung.spearman is not None]
    if not judged:
        return [f"rungs against the end: {found[0].cannot}"]
    ranked = ", ".join(f"{rung.spearman:+.2f} at epoch {rung.epoch}" for rung in judged)
    lost = [str(rung.epoch) for rung in judged if not rung.kept_best]
    best = f"the best was among the best 1/{reduction} at every rung"
    if lost:
        best = f"the best was not among the best 1/{reduction} at epoch {' and '.join(lost)}"
    cut = "; of the trials that were stopped nothing is known" if stopped else ""
    return [f"rungs against the end (Spearman's rank correlation of {judged[-1].trials} trials): {ranked}; {best}{cut}"]


def _row(rung: Mapping[str, Any]) -> list[str]:
    return [
        str(rung["epoch"]),
        str(rung["trials"]),
        f"{rung['spearman']:+.2f}",
        "" if rung["low"] is None else f"{rung['low']:+.2f} to {rung['high']:+.2f}",
        f"{rung['kendall']:+.2f}",
        "yes" if rung["best_kept"] else "no",
    ]
