"""What a search selected, and what of it the confirmation on fresh seeds leaves."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hjepa.search.ablation.comparisons import POINTS, Compared, compared, ended, entry, p_value, scores_on_test
from hjepa.search.analysis import Standing, first, floors, standings
from hjepa.search.confirmation import cell_of, confirmed_in, levels_of
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

#: Columns of the table of candidates.
COLUMNS = ("candidate", "fresh score", "effect", "95 % interval", "p (Holm)", "seeds", "on test", "verdict")
WORDS = "selected on the hold-out, reported on test"


def selection(records: StudyRecords) -> dict[str, Any]:
    """What a search selected, as in the JSON report; scores are shares, comparisons points.

    `state`: nothing (no trial has completed), unconfirmed, confirmed or not confirmed. `cell`, `config` and
    `score` are the selected configuration and what it scored in the search: the confirmed one, else the best.
    `confirmation` is null where none has begun; its candidates have a verdict once all its trials have ended.
    """
    ranking = standings(records)
    best = first(ranking)
    if best is None:
        nobody = {"cell": None, "config": None, "score": None, "confirmation": None}
        beyond = any(standing.broken for standing in ranking)
        why = "every configuration is beyond a constraint" if beyond else "no trial has completed yet"
        return {"state": "nothing", "words": [f"{why}: nothing is selected"], **nobody}
    floor = floors(records.trials()).get(records.goals.scored)
    there = confirmed_in(records)
    judged = None if there is None else _confirmation(there, ranking)
    state, selected = _state(best, ranking, judged)
    words = _words(state, selected, floor, judged)
    if state == "confirmed" and best.trials[0].index != 0 and not _is_candidate(best, judged):
        words.append(f"{best.cell} leads the search since, unconfirmed")
    return {
        "state": state,
        "words": words,
        "cell": selected.cell,
        "config": selected.config,
        "score": selected.score,
        "confirmation": judged,
    }


def confirmed(records: StudyRecords) -> str | None:
    """The hash of the configuration that is confirmed; None while there is none."""
    there = confirmed_in(records)
    if there is None:
        return None
    winner = _winner(_confirmation(there, standings(records)))
    return None if winner is None else str(winner["config"])


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The candidates as cells of a table, in the order of COLUMNS; the baseline first."""
    judged = found["confirmation"]
    if judged is None:
        return []
    base = judged["baseline"]
    seeds = str(len(judged["seeds"]))
    return [
        ["baseline", _share(base["score"]), "", "", "", seeds, _share(base["test_score"]), ""],
        *(_row(candidate) for candidate in judged["candidates"]),
    ]


def _row(candidate: Mapping[str, Any]) -> list[str]:
    found = candidate["comparison"]
    interval = "" if found["low"] is None else f"{found['low']:+.2f} to {found['high']:+.2f}"
    return [
        candidate["cell"],
        _share(candidate["score"]),
        "" if found["effect"] is None else f"{found['effect']:+.2f}",
        interval,
        p_value(found["p_holm"], found["significant"]),
        str(len(found["seeds"])),
        _share(candidate["test_score"]),
        candidate["verdict"] or "",
    ]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _confirmation(there: StudyRecords, ranking: Sequence[Standing]) -> dict[str, Any]:
    study = Study.load(there.directory / "study.yaml")
    trials = there.trials()
    over = ended(study, trials, there.metric)
    table = {row.comparison.name: row for row in compared(study, trials, there.metric)}
    test = scores_on_test(study, trials, there.metric)
    by_cell = {standing.cell: standing for standing in ranking}
    return {
        "directory": there.directory.name,
        "ended": over,
        "trials": {"ended": sum(trial.final for trial in trials), "asked": _asked(study)},
        "seeds": list(study.spec.seeds),
        "baseline": _scored("reference", trials, there.metric, test),
        "candidates": [
            _candidate(name, by_cell.get(name), table[cell_of(name)], over)
            | _scored(cell_of(name), trials, there.metric, test)
            for name in levels_of(there)
        ],
    }


def _asked(study: Study) -> int:
    return study.configurations * len(study.spec.seeds)


def _candidate(name: str, standing: Standing | None, row: Compared, over: bool) -> dict[str, Any]:
    """A candidate: its place in the search, and its comparison with the baseline on fresh seeds."""
    better = bool(row.row.significant) and (row.effect.mean or 0.0) > 0
    return {
        "cell": name,
        "config": None if standing is None else standing.config,
        "rank": None if standing is None else standing.rank,
        "search_score": None if standing is None else standing.score,
        "verdict": None if not over else "confirmed" if better else "not confirmed",
        "comparison": entry(row),
    }


def _scored(
    cell: str, trials: Sequence[TrialRecord], metric: str, test: Mapping[str, Mapping[int, float]]
) -> dict[str, float | None]:
    """A cell's mean score over fresh seeds on the hold-out, and on test once all has ended."""
    fresh = [trial.score for trial in trials if trial.cell == cell and trial.metric == metric]
    known = [score for score in fresh if score is not None]
    tested = list(test.get(cell, {}).values())
    return {"score": fmean(known) if known else None, "test_score": fmean(tested) / POINTS if tested else None}


def _winner(judged: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The confirmed candidate with the largest effect."""
    good = [c for c in judged["candidates"] if c["verdict"] == "confirmed" and c["config"] is not None]
    return max(good, key=lambda candidate: candidate["comparison"]["effect"], default=None)


def _state(best: Standing, ranking: Sequence[Standing], judged: Mapping[str, Any] | None) -> tuple[str, Standing]:
    """How far the selection is, and the configuration that is selected."""
    if judged is None or not judged["ended"]:
        return "unconfirmed", best
    winner = _winner(judged)
    if winner is not None:
        return "confirmed", next(standing for standing in ranking if standing.config == winner["config"])
    known = best.trials[0].index == 0 or _is_candidate(best, judged)
    return ("not confirmed" if known else "unconfirmed"), best


def _is_candidate(standing: Standing, judged: Mapping[str, Any] | None) -> bool:
    return judged is not None and any(candidate["cell"] == standing.cell for candidate in judged["candidates"])


def _words(state: str, selected: Standing, floor: float | None, judged: Mapping[str, Any] | None) -> list[str]:
    above = ""
    if floor is not None and selected.score is not None:
        above = f", {POINTS * (selected.score - floor):+.1f} points over the floor"
        own = selected.untrained
        if own is not None and selected.trials[0].index and f"{own:.4f}" != f"{floor:.4f}":
            above += f" and {POINTS * (selected.score - own):+.1f} over its own untrained encoder"
    named = f"{selected.cell} ({selected.config[:10]}) with {selected.score:.4f}{above}"
    if state == "unconfirmed":
        said = [f"selected, unconfirmed: {named} (its score is optimistic by selection)"]
        if judged is not None and not judged["ended"]:
            done = judged["trials"]
            said.append(f"confirmation on fresh seeds: {done['ended']} of {done['asked']} trials have ended")
        return said + (_others(judged) if judged is not None and judged["ended"] else [])
    assert judged is not None
    by_cell = {candidate["cell"]: candidate for candidate in judged["candidates"]}
    if state == "confirmed":
        return [f"confirmed: {named} in the search; {_result(by_cell[selected.cell], judged)}", f"scores: {WORDS}"]
    if selected.trials[0].index == 0:
        return [f"selected: the baseline itself, {selected.score:.4f}; no candidate beat it", *_others(judged)]
    result = _result(by_cell[selected.cell], judged)
    more = "no candidate is shown to beat the baseline; more seeds may: hjepa-search confirm with --seeds"
    return [f"not confirmed: {named} in the search; {result}", more, f"scores: {WORDS}"]


def _others(judged: Mapping[str, Any]) -> list[str]:
    names = ", ".join(candidate["cell"] for candidate in judged["candidates"])
    return [f"the confirmation on fresh seeds is of {names}, none of them confirmed", f"scores: {WORDS}"]


def _result(candidate: Mapping[str, Any], judged: Mapping[str, Any]) -> str:
    """What the fresh seeds say of a candidate."""
    found, seeds = candidate["comparison"], judged["seeds"]
    if found["effect"] is None:
        return f"on fresh seeds: {found['conclusion']}"
    text = f"on {len(found['seeds'])} fresh seeds (from {min(seeds)}) {found['effect']:+.2f} points over the baseline"
    if found["low"] is not None:
        text += f" ({found['low']:+.2f} to {found['high']:+.2f}, p {p_value(found['p_holm'])} by Holm)"
    text += f": {found['conclusion']}"
    if candidate["test_score"] is not None:
        against = judged["baseline"]["test_score"]
        beside = "" if against is None else f", baseline {against:.4f}"
        text += f"; on test {candidate['test_score']:.4f}{beside}"
    return text
