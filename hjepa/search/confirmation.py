"""The confirmation of a search: its best configurations once more, on fresh seeds, against the baseline.

The winner of a search is the best of many on the seeds that chose it, so its score is optimistic. A
confirmation is an ablation in a folder of the search's directory: one factor, whose levels are the baseline and
the candidates, all on seeds that the search has not seen, at full budget, with the test split read at the end.
"""

from collections.abc import Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from hjepa.overrides import ConfigError, problem
from hjepa.search.analysis import Standing, standings
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study

#: Its folder in the search's directory.
FOLDER = "confirm"
#: The factor, and the level that is the search's baseline.
FACTOR, BASELINE = "candidate", "baseline"
#: Fresh seeds begin here: far from those by which a search is extended.
FIRST_SEED = 1000
TOP, SEEDS = 3, 3


def confirmation(records: StudyRecords, top: int | None = None, seeds: int | None = None) -> Study:
    """The study that confirms the `top` best configurations of a finished search on `seeds` fresh seeds.

    None: as many as the confirmation that is there already has, else 3. Raises ConfigError for a directory
    without a finished search, and where what is there confirms other configurations or has seeds that are no
    longer fresh.
    """
    for name, value in (("--top", top), ("--seeds", seeds)):
        if value is not None and value < 1:
            raise ConfigError([problem(name, value, "at least 1")])
    _refuse_unfinished(records)
    there = confirmed_in(records)
    levels = _candidates(records, top or TOP) if there is None else _kept(records, there, top)
    fresh = _fresh(records, there, seeds)
    spec = records.spec
    tree = {
        "study": f"{records.name[:92]}-{FOLDER}",
        "base": spec["base"],
        "objective": {"metric": records.metric, "mode": "max"},
        "budget": {"epochs": records.epochs},
        "seeds": fresh,
        "ablation": {"design": "one_at_a_time", "factors": {FACTOR: {"levels": {BASELINE: {}, **levels}}}},
        **{key: spec[key] for key in ("resources", "faults", "max_concurrent") if spec.get(key) is not None},
    }
    return Study.parse(tree, folder_of(records) / "study.yaml")


def confirmed_in(records: StudyRecords) -> StudyRecords | None:
    """The records of a search's confirmation; None where there is none."""
    return _there(folder_of(records))


def levels_of(there: StudyRecords) -> Mapping[str, Mapping[str, Any]]:
    """The candidates of a confirmation by the search's names, and what each sets."""
    levels = there.spec["ablation"]["factors"][FACTOR]["levels"]
    return {name: settings for name, settings in levels.items() if name != BASELINE}


def cell_of(candidate: str) -> str:
    """The name of a candidate's cell, and of its comparison with the baseline."""
    return f"{FACTOR}={candidate}"


def ranked(records: StudyRecords) -> list[Standing]:
    """Configurations that may be confirmed, best first: all with a score at full budget but the baseline."""
    return [standing for standing in standings(records) if standing.rank is not None and standing.trials[0].index != 0]


def _refuse_unfinished(records: StudyRecords) -> None:
    if "ablation" in records.spec:
        raise ConfigError([f"{records.directory}: is an ablation, which selects nothing; allowed a finished search"])
    trials = records.trials()
    asked = Study.load(records.directory / "study.yaml")
    total = asked.configurations * len(asked.spec.seeds)
    ended = sum(trial.final for trial in trials)
    if ended < total:
        less = "or end it there: hjepa-search run with --trials"
        raise ConfigError(
            [f"{records.directory}: {ended} of {total} trials have ended; allowed a finished search: go on, {less}"]
        )


def _candidates(records: StudyRecords, top: int) -> dict[str, Mapping[str, Any]]:
    best = ranked(records)[:top]
    if not best:
        raise ConfigError([f"{records.directory}: no configuration but the baseline has completed: nothing to confirm"])
    return {standing.cell: dict(standing.trials[0].trained) for standing in best}


def _kept(records: StudyRecords, there: StudyRecords, top: int | None) -> dict[str, Mapping[str, Any]]:
    """The candidates that are being confirmed; refuse to confirm others beside them."""
    kept = dict(levels_of(there))
    wanted = kept if top is None else _candidates(records, top)
    if set(wanted) != set(kept):
        raise ConfigError(
            [
                f"--top: got {top}, now {_listed(wanted)}; allowed {len(kept)}, {_listed(kept)}: "
                f"what {there.directory} confirms; move it away to confirm others"
            ]
        )
    return kept


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


def _fresh(records: StudyRecords, there: StudyRecords | None, asked: int | None) -> list[int]:
    """Seeds of the confirmation: those it has, and as many more as asked, none of which the search knows."""
    used = {int(seed) for seed in records.spec["seeds"]}
    kept: Sequence[int] = there.spec["seeds"] if there is not None else ()
    stale = sorted(used & set(kept))
    if stale and there is not None:
        raise ConfigError(
            [
                f"seeds {', '.join(map(str, stale))}: of {there.directory}, and now of the search too, so not fresh; "
                "allowed seeds that chose nothing: move the folder away to confirm anew"
            ]
        )
    wanted = asked or len(kept) or SEEDS
    if wanted < len(kept):
        raise ConfigError([problem("--seeds", wanted, f"at least {len(kept)}, the seeds of the confirmation so far")])
    more = (seed for seed in count(FIRST_SEED) if seed not in used and seed not in kept)
    return [*kept, *islice(more, wanted - len(kept))]


def folder_of(records: StudyRecords) -> Path:
    """Where the confirmation of a search lies, or will lie; that of another budget is another one."""
    there = _there(records.directory / FOLDER)
    other = there is not None and there.epochs != records.epochs
    return records.directory / (f"{FOLDER}-{records.epochs}-epochs" if other else FOLDER)


def _there(folder: Path) -> StudyRecords | None:
    return StudyRecords.open(folder) if (folder / "study.yaml").is_file() else None
