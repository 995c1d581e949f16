"""One trial as its files show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any

from hjepa.config import rung_metric
from hjepa.overrides import shown
from hjepa.search.files import last_lines, read_json
from hjepa.search.states import FINAL, OPEN, SCORELESS

#: Keys of a trial.json, and what they hold.
TRIAL_KEYS: dict[str, type | UnionType] = {
    "id": str,
    "index": int,
    "config": str,
    "cell": str,
    "seed": int,
    "overrides": dict,
    "state": str,
    "duplicate_of": str | None,
    "mlflow_run_id": str | None,
}
#: Keys of a trial.json that stand there only where something happened, and what they hold.
LATER_KEYS: dict[str, type | UnionType] = {
    "promoted": int | None,
    "attempts": list,
    "micro_batch": int | None,
    "lineage": list,
    "epochs": int | None,
}
#: Of `objective.at`: only a trial at full budget has a score that counts.
FINAL_BUDGET = "final_budget"
#: The field that `micro_batch` sets.
MICRO = "runtime.micro_batch"
#: Keys of a result.json that are read here.
_RESULT_KEYS: dict[str, type | UnionType] = {
    "state": str | None,
    "reason": str | None,
    "metrics": dict | None,
    "floor": dict | None,
    "epoch": int | float | None,
    "rung": int | None,
}


@dataclass(frozen=True)
class TrialRecord:
    """One trial: a configuration on one seed.

    `index` numbers the configurations (0: the baseline); `config` is the configuration's hash, the same
    for all seeds; `score` is the last value of `metric` (the study's objective, or its stand-in at rungs
    when the trial never reached its full probe); `result` is the whole result.json; `promoted` is the epoch
    of the last rung from which a paused trial was resumed. `attempts` are those that ended and were followed by
    another: cause, reason, epoch, seconds, micro_batch, traceback; `micro_batch` is the number of images a pass since
    it ran out of memory. `epochs` is its full budget; None: its study's.
    `scored_at` is the epoch of `score` where not a trial's full probe counts but the best or the last of its rungs.
    `lineage` says where a member of a population went on as a changed copy of another: epoch, from, its own score
    there, factors, and the settings it has run since.
    """

    id: str
    index: int
    config: str
    cell: str
    seed: int
    overrides: Mapping[str, Any]
    state: str
    directory: Path
    reason: str | None = None
    score: float | None = None
    metric: str | None = None
    epoch: int | None = None
    rung: int | None = None
    duplicate_of: str | None = None
    mlflow_run_id: str | None = None
    promoted: int | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    micro_batch: int | None = None
    lineage: Sequence[Mapping[str, Any]] = ()
    epochs: int | None = None
    scored_at: int | None = None
    floor: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @property
    def trained(self) -> Mapping[str, Any]:
        """What its score is of beyond the study's base: its overrides, or what it took of another."""
        return self.lineage[-1]["settings"] if self.lineage else self.overrides

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it runs beyond the study's base: what it trains, and the images a pass where memory limits them."""
        return self.trained if self.micro_batch is None else {**self.trained, MICRO: self.micro_batch}

    @property
    def inherited(self) -> str | None:
        """From whom it went on, in words, the last time; None where it never did."""
        if not self.lineage:
            return None
        last = self.lineage[-1]
        factors = ", ".join(f"{path} x {factor:g}" for path, factor in last["factors"].items())
        return f"went on at epoch {last['epoch']} from {last['from']} with {factors}"

    @property
    def retried(self) -> str | None:
        """What ended the attempts before its last, in words; None where there were none."""
        if not self.attempts:
            return None
        ends = ", ".join(f"{attempt.get('cause')} at epoch {attempt.get('epoch') or 0}" for attempt in self.attempts)
        parts = "" if self.micro_batch is None else f"; {self.micro_batch} images a pass"
        return f"tried {len(self.attempts) + 1} times: {ends}{parts}"

    @property
    def checkpoint(self) -> Path | None:
        """Where it can be resumed from."""
        path = self.directory / "checkpoint.pt"
        return path if path.is_file() else None


def read_trial(folder: Path, objective: str, epochs: int, driven: bool, at: str = FINAL_BUDGET) -> TrialRecord | None:
    """The trial of a folder; None where there is none that can be read.

    `objective` is the study's metric, `at` says which of its values counts, and `epochs` is its full budget, where the
    trial has none of its own; `driven` says whether a driver runs.
    """
    trial = read_json(folder / "trial.json", wrong_trial)
    if trial is None:
        return None
    result = read_json(folder / "result.json", wrong_result) or {}
    state = _state(trial, result, folder, driven)
    reached = progress(folder / "metrics.jsonl") if state in OPEN or not result.get("metrics") else result
    metric, score = _score(state, reached, objective, trial.get("epochs") or epochs)
    scored_at = None
    if at != FINAL_BUDGET:
        metric, score, scored_at = _score_at(at, state, reached, objective, folder)
    return TrialRecord(
        **{name: trial[name] for name in TRIAL_KEYS if name != "state"},
        promoted=trial.get("promoted"),
        attempts=tuple(trial.get("attempts") or ()),
        micro_batch=trial.get("micro_batch"),
        lineage=tuple(trial.get("lineage") or ()),
        epochs=trial.get("epochs"),
        state=state,
        directory=folder,
        reason=result.get("reason") if state in FINAL or state == "interrupted" else None,
        score=score,
        metric=metric,
        epoch=reached.get("epoch"),
        rung=reached.get("rung"),
        scored_at=scored_at,
        floor=result.get("floor") or reached.get("floor") or {},
        result=result,
    )


def wrong_trial(content: Mapping[str, Any]) -> str | None:
    """What makes a mapping no trial.json, in words."""
    missing = [name for name in TRIAL_KEYS if name not in content]
    if missing:
        return f"without {missing[0]}"
    if any(not isinstance(attempt, dict) for attempt in content.get("attempts") or ()):
        return "attempts: not all are mappings"
    if any(not _is_entry(entry) for entry in content.get("lineage") or ()):
        return "lineage: not all are its entries"
    return _wrong(content, TRIAL_KEYS | LATER_KEYS) or (
        None if content["state"] in OPEN else f"state: got {content['state']}"
    )


def _is_entry(entry: Any) -> bool:
    """Whether this is an entry of a lineage."""
    kinds = {"epoch": int, "from": str, "score": int | float, "factors": dict, "settings": dict}
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def wrong_result(content: Mapping[str, Any]) -> str | None:
    """What makes a mapping no result.json, in words."""
    known = content.get("state") in (*FINAL, *OPEN, None)
    return _wrong(content, _RESULT_KEYS) or (None if known else f"state: got {content['state']}")


def _wrong(content: Mapping[str, Any], kinds: Mapping[str, type | UnionType]) -> str | None:
    wrong = [name for name, kind in kinds.items() if name in content and not isinstance(content[name], kind)]
    return f"{wrong[0]}: got {shown(content[wrong[0]])}" if wrong else None


def copied(duplicate: TrialRecord, original: TrialRecord | None) -> TrialRecord:
    """A duplicate that has ended, with its original's score; any other record as it is."""
    if duplicate.state != "duplicate" or original is None:
        return duplicate
    same = {name: getattr(original, name) for name in ("score", "metric", "epoch", "rung", "floor", "scored_at")}
    return replace(duplicate, **same)


def progress(metrics: Path) -> dict[str, Any]:
    """How far a metrics.jsonl says that its trial came, with the keys of a result.json.

    Here as in training, `score` is the linear probe's; a study's own objective is read from `metrics`.
    """
    rungs = last_lines(metrics, ("rung",))
    untrained = [line for line in last_lines(metrics, ("full",)) if line.get("epoch") == 0]
    last = rungs[-1] if rungs else {}
    score = last.get(rung_metric("probe.top1"))
    return {
        "score": score,
        "metric": None if score is None else rung_metric("probe.top1"),
        "epoch": last.get("epoch"),
        "rung": len(rungs) - 1 if rungs else None,
        "floor": _without_place(untrained[0]) if untrained else {},
        "metrics": _without_place(last),
    }


def history(record: TrialRecord, metric: str) -> dict[int, float]:
    """What a trial scored at each rung, by epoch, from its metrics.jsonl."""
    return _history(record.directory / "metrics.jsonl", metric)


def _history(path: Path, metric: str) -> dict[int, float]:
    lines = last_lines(path, ("rung", "full"))
    scored = [line for line in lines if line["epoch"] and isinstance(line.get(metric), int | float)]
    return {int(line["epoch"]): line[metric] for line in scored}


def _without_place(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("kind", "step", "epoch")}


def _state(trial: Mapping[str, Any], result: Mapping[str, Any], folder: Path, driven: bool) -> str:
    """The state that the files show: a driver that was killed leaves no trial running; a paused one waits for any."""
    if result.get("state") in FINAL:
        return str(result["state"])
    if trial["state"] == "paused" or (driven and trial["state"] in OPEN):
        return str(trial["state"])
    started = bool(result) or (folder / "metrics.jsonl").is_file() or (folder / "checkpoint.pt").is_file()
    return "interrupted" if started else "pending"


def _score(state: str, reached: Mapping[str, Any], objective: str, epochs: int) -> tuple[str | None, float | None]:
    """The metric that counts for a trial, and its last value; neither where it has none."""
    metrics = reached.get("metrics") or {}
    at_full_budget = state == "completed" or (reached.get("epoch") == epochs and metrics.get(objective) is not None)
    metric = objective if at_full_budget else rung_metric(objective)
    score = None if state in SCORELESS else metrics.get(metric)
    return (metric, float(score)) if isinstance(score, int | float) else (None, None)


def _score_at(
    at: str, state: str, reached: Mapping[str, Any], objective: str, folder: Path
) -> tuple[str | None, float | None, int | None]:
    """The same, and its epoch, where the best or the last of what a trial scored at rungs counts."""
    metric = rung_metric(objective)
    scored = _history(folder / "metrics.jsonl", metric)
    last = (reached.get("metrics") or {}).get(metric)
    if not scored and isinstance(last, int | float):  # of a trial whose curve is lost
        scored = {int(reached.get("epoch") or 0): float(last)}
    if state in SCORELESS or not scored:
        return None, None, None
    epoch = max(scored, key=lambda epoch: scored[epoch]) if at == "best" else max(scored)
    return metric, scored[epoch], epoch
