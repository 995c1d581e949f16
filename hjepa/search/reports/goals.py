"""What a search's trials are judged by, for a report: which score counts, the Pareto front, what is beyond a limit."""

from collections.abc import Mapping
from typing import Any

from hjepa.search.analysis import Standing, front, standings
from hjepa.search.costs import in_words
from hjepa.search.goals import Goals
from hjepa.search.records import StudyRecords
from hjepa.search.refusals import lines as refused_lines
from hjepa.search.refusals import refused

#: Columns of the table of the front, before a column for each cost, and of what is beyond a limit.
FRONT, BEYOND = ("configuration", "trials", "score"), ("configuration", "trials", "beyond")
_WORDS = {
    "best": "a trial's score is its best at a rung, of trials that were stopped early too",
    "last": "a trial's score is its last at a rung, of trials that were stopped early too",
}


def of_search(records: StudyRecords) -> dict[str, Any]:
    """The key `goals` of the JSON report.

    `at` says which score of a trial counts (`metric`). `front` are the configurations that none beats in every
    objective, the best score first, with their mean `costs`; empty for one objective. `infeasible` are those beyond
    a limit of `constraints`, `refused` the proposals that did not run for that.
    """
    goals = records.goals
    ranking = standings(records)
    best = front(ranking, goals) if goals.several else []
    beyond = [standing for standing in ranking if standing.broken]
    return {
        "metric": goals.scored,
        "at": goals.at,
        "costs": list(goals.costs),
        "constraints": {limit.name: limit.text for limit in goals.limits},
        "front": [
            _entry(standing) | {"costs": {name: standing.facts[name] for name in goals.costs}} for standing in best
        ],
        "infeasible": [_entry(standing) | {"beyond": list(standing.broken)} for standing in beyond],
        "refused": refused(records.directory),
        "words": [*_words(goals, len(best), len(beyond)), *refused_lines(records.directory)],
    }


def _entry(standing: Standing) -> dict[str, Any]:
    return {
        "cell": standing.cell,
        "config": standing.config,
        "trials": [trial.id for trial in standing.trials],
        "score": standing.score,
    }


def _words(goals: Goals, best: int, beyond: int) -> list[str]:
    words = [] if goals.final else [_WORDS[goals.at]]
    if goals.several:
        count = f"{best} configuration{'s' * (best != 1)}"
        words.append(f"Pareto front: {count}; the winner is the one of them with the best {goals.scored}")
    if goals.limits:
        text = ", ".join(f"{limit.name} {limit.text}" for limit in goals.limits)
        words.append(f"constraints: {text}; {beyond} configuration{'s' * (beyond != 1)} beyond them, which cannot win")
    return words


def front_columns(found: Mapping[str, Any] | None) -> list[str]:
    """The columns of the table of the front."""
    return [*FRONT, *(() if found is None else found["costs"])]


def front_rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """The front as cells of a table."""
    if found is None:
        return []
    return [
        [
            entry["cell"],
            ", ".join(entry["trials"]),
            f"{entry['score']:.4f}",
            *(in_words(name, value) for name, value in entry["costs"].items()),
        ]
        for entry in found["front"]
    ]


def beyond_rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """What is beyond a limit as cells of a table, in the order of BEYOND."""
    entries = () if found is None else found["infeasible"]
    return [[entry["cell"], ", ".join(entry["trials"]), "; ".join(entry["beyond"])] for entry in entries]
