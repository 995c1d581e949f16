"""Where a study stands, from its files alone: for another terminal than the one that runs it."""

import shlex
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hjepa.search import budget
from hjepa.search.analysis import Standing, counts, front, standings
from hjepa.search.confirmation import confirmed_in
from hjepa.search.costs import COSTS, in_words
from hjepa.search.durations import clock
from hjepa.search.goals import Goals
from hjepa.search.live import last_step
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.refusals import refused
from hjepa.search.snapshot import Snapshot
from hjepa.search.states import FAILURES
from hjepa.search.study import Study

#: Failures and running trials that are listed, the latest.
LISTED = 12
#: Ended trials from which on their mean length says how long the next ones take.
ENOUGH = 4


def status(records: StudyRecords, now: float | None = None) -> dict[str, Any]:
    """Where a study stands, as plain data; times in seconds.

    `asked` are the trials that the study asks for, `left` is None where no trial has trained yet. `now` is the time
    of day (by default this moment's), to which the age of a trial's last line is measured.
    """
    now = time.time() if now is None else now
    records = Snapshot(records)
    study = Study.load(records.directory / "study.yaml")
    trials = records.trials()
    own = [trial for trial in trials if trial.duplicate_of is None]
    running = [_running(trial, records.epochs, now) for trial in own if trial.state == "running"]
    asked = study.configurations * len(study.spec.seeds)
    paid = [trial for trial in own if not trial.result.get("reused_from")]
    seconds = [float(trial.result.get("seconds") or 0.0) for trial in paid]
    device = [float(trial.result.get("device_seconds") or 0.0) for trial in paid]
    there = confirmed_in(records)
    ranking = standings(records)
    return {
        "study": records.name,
        "directory": str(records.directory),
        "driven": records.driven(),
        "metric": records.metric,
        "epochs": records.epochs,
        "asked": asked,
        "ended": sum(trial.final for trial in trials),
        "states": counts(trials),
        "running": running,
        "rungs": _rungs(own),
        "best": _best(ranking),
        "front": [_on_front(standing, records.goals) for standing in front(ranking, records.goals)]
        if records.goals.several
        else [],
        "infeasible": [
            {"cell": standing.cell, "broken": list(standing.broken)} for standing in ranking if standing.broken
        ],
        "refused": len(refused(records.directory)),
        "failures": [
            {"id": trial.id, "cell": trial.cell, "seed": trial.seed, "state": trial.state, "reason": trial.reason}
            for trial in trials
            if trial.state in FAILURES
        ],
        "retried": [{"id": trial.id, "cell": trial.cell, "words": trial.retried} for trial in own if trial.attempts],
        "trial_seconds": sum(seconds),
        "device_seconds": sum(device),
        "budget": budget.parts(study.spec.budget, budget.spent_in(records.all_trials(), study.spec.resources.workers)),
        "stopped": None if records.driven() else budget.ending(records.directory),
        "left": _left(study, own, running, asked - len(trials)),
        "confirmation": None if there is None else _confirmation(there),
    }


def _running(trial: TrialRecord, epochs: int, now: float) -> dict[str, Any]:
    """A running trial, between rungs as its own log shows it."""
    path = trial.directory / "metrics.jsonl"
    last = last_step(path)
    epoch = max(float(last.get("epoch", 0.0)), float(trial.epoch or 0))
    return {
        "id": trial.id,
        "cell": trial.cell,
        "seed": trial.seed,
        "epoch": epoch,
        "score": trial.score,
        "metric": trial.metric,
        "images_per_second": last.get("images_per_second"),
        "silent": max(0.0, now - path.stat().st_mtime) if path.is_file() else None,
    }


def _rungs(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """At each epoch at which trials were stopped early or wait: how many came so far, were stopped, and wait there."""
    ends = Counter((trial.epoch, trial.state) for trial in trials if trial.state in ("early_stopped", "paused"))
    return [
        {
            "epoch": epoch,
            "reached": sum((trial.epoch or 0) >= epoch for trial in trials),
            "stopped": ends[epoch, "early_stopped"],
            "waiting": ends[epoch, "paused"],
        }
        for epoch in sorted({epoch for epoch, _ in ends if epoch})
    ]


def _best(ranking: Sequence[Standing]) -> dict[str, Any] | None:
    """The best configuration so far: by scores that can win, before there are any by those at rungs."""
    best = next((standing for standing in ranking if not standing.broken), None)
    if best is None or best.score is None:
        return None
    return {
        "cell": best.cell,
        "score": best.score,
        "metric": best.metric,
        "seeds": max(best.complete, 1),
        "counts": best.complete > 0,
    }


def _on_front(standing: Standing, goals: Goals) -> dict[str, Any]:
    values = {name: standing.facts[name] for name in goals.costs}
    return {"cell": standing.cell, "score": standing.score, **values}


def _beside(found: Mapping[str, Any]) -> list[str]:
    """What there is beside the best: the front of several objectives, and what is beyond a constraint."""
    known = [
        f"{entry['cell']} ({entry['score']:.4f}, " + ", ".join(in_words(n, entry[n]) for n in entry if n in COSTS) + ")"
        for entry in found["front"]
    ]
    more = [f"and {len(known) - LISTED} more"] if len(known) > LISTED else []
    lines = [f"Pareto front {'; '.join([*known[:LISTED], *more])}"] if known else []
    beyond = [f"{entry['cell']} ({'; '.join(entry['broken'])})" for entry in found["infeasible"]]
    more = [f"and {len(beyond) - LISTED} more"] if len(beyond) > LISTED else []
    lines += [f"infeasible   {', '.join([*beyond[:LISTED], *more])}"] if beyond else []
    many = found["refused"]
    return lines + ([f"refused      {many} proposal{'s' * (many > 1)} before they ran"] if many else [])


def _left(
    study: Study, trials: Sequence[TrialRecord], running: Sequence[Mapping[str, Any]], unwritten: int
) -> float | None:
    """Seconds to the end, at the pace of the trials so far and as many at once as run now.

    A trial that waits at a rung goes on for sure in a population alone; else that is where most such trials end.
    """
    population = study.spec.scheduler.type == "pbt"
    open_states = ("pending", "interrupted", *(("paused",) if population else ()))
    begun = [trial.epoch or 0 for trial in trials if trial.state in open_states]
    if not running and not begun and not unwritten:
        return 0.0
    trained = [(float(t.result["seconds"]), t.epoch) for t in trials if t.epoch and t.result.get("seconds")]
    if not trained:
        return None
    pace = sum(seconds for seconds, _ in trained) / sum(epoch for _, epoch in trained)
    ends = ("completed", "early_stopped", *(() if population else ("paused",)))
    lengths = [trial.epoch for trial in trials if trial.state in ends and trial.epoch]
    usual = statistics.fmean(lengths) if len(lengths) >= ENOUGH else study.epochs
    todo = sum(study.epochs - float(trial["epoch"]) for trial in running) + unwritten * usual
    todo += sum((usual if epoch < usual else study.epochs) - epoch for epoch in begun)
    return pace * todo / max(1, len(running) or study.spec.max_concurrent or 1)


def _confirmation(there: StudyRecords) -> dict[str, Any]:
    trials = there.trials()
    cells = len(there.spec["ablation"]["factors"]["candidate"]["levels"])
    return {
        "ended": sum(trial.final for trial in trials),
        "asked": cells * len(there.spec["seeds"]),
        "driven": there.driven(),
    }


def over(found: Mapping[str, Any]) -> bool:
    """Whether nothing is left to run."""
    return bool(found["ended"] >= found["asked"])


def render(found: Mapping[str, Any]) -> str:
    """A status as text, a line a fact."""
    states = ", ".join(f"{count} {state}" for state, count in found["states"].items()) or "none yet"
    lines = [
        f"{found['study']}: {_activity(found)}",
        f"trials       {found['ended']} of {found['asked']} ended: {states}",
    ]
    lines += [f"running      {_running_line(trial, found['epochs'])}" for trial in found["running"][-LISTED:]]
    if found["rungs"]:
        lines.append(f"rungs        {'; '.join(map(_rung, found['rungs']))}")
    lines.append(f"best so far  {_best_line(found)}")
    shown = found["failures"][-LISTED:]
    lines += [f"{f['state']:<12} {f['id']} ({f['cell']}): {f['reason'] or 'no reason was left'}" for f in shown]
    if len(found["failures"]) > len(shown):
        lines.append(f"             {len(found['failures']) - len(shown)} more failures, in the report")
    lines += [f"{'tried again':<12} {t['id']} ({t['cell']}): {t['words']}" for t in found["retried"][-LISTED:]]
    lines.append(
        f"cost so far  {found['device_seconds'] / 3600:.3g} device-hours; {clock(found['trial_seconds'])} of trials"
    )
    lines += _beside(found)
    if found["budget"]:
        lines.append(f"budget       {budget.in_words(found['budget'])}")
    if not over(found):
        left = "not known before a trial has trained" if found["left"] is None else f"about {clock(found['left'])}"
        lines.append(f"time left    {left}")
    if found["confirmation"] is not None:
        confirmation = found["confirmation"]
        going = "running" if confirmation["driven"] else "not running"
        lines.append(f"confirmation {confirmation['ended']} of {confirmation['asked']} trials ended; {going}")
    return "\n".join(lines)


def _rung(rung: Mapping[str, Any]) -> str:
    waiting = f", {rung['waiting']} waiting" if rung["waiting"] else ""
    return f"epoch {rung['epoch']}: {rung['reached']} reached it, {rung['stopped']} stopped{waiting}"


def _activity(found: Mapping[str, Any]) -> str:
    place = shlex.quote(found["directory"])
    if found["driven"]:
        return "running"
    if over(found):
        return f"finished; hjepa-search report {place}"
    why = "" if found["stopped"] is None else f": {found['stopped']}"
    return f"not running{why}; the command that started it goes on"


def _running_line(trial: Mapping[str, Any], epochs: int) -> str:
    parts = [trial["id"], trial["cell"], f"seed {trial['seed']}", f"epoch {trial['epoch']:.1f} of {epochs}"]
    if trial["score"] is not None:
        parts.append(f"{trial['metric']} {trial['score']:.4f}")
    if trial["images_per_second"] is not None:
        parts.append(f"{trial['images_per_second']:,.0f} images/s")
    if trial["silent"] is not None:
        parts.append(f"last line {clock(trial['silent'])} ago")
    return ", ".join(parts)


def _best_line(found: Mapping[str, Any]) -> str:
    best = found["best"]
    if best is None:
        return "no score yet"
    seeds = f", mean of {best['seeds']} seeds" if best["seeds"] > 1 else ""
    rung = "" if best["counts"] else "; no trial at full budget yet"
    return f"{best['score']:.4f} {best['metric']} ({best['cell']}{seeds}{rung})"
