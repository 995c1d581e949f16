"""A study's results: `content` is all of them as data, and every format holds the same numbers."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hjepa.overrides import shown
from hjepa.runtime.files import to_json
from hjepa.search import budget, reuse, selection, warm_start
from hjepa.search.ablation import comparisons
from hjepa.search.analysis import Standing, counts, floors, other_budgets, standings
from hjepa.search.costs import COSTS
from hjepa.search.lineage import CHANGES
from hjepa.search.records import SCHEMA_VERSION, StudyRecords, TrialRecord
from hjepa.search.reports import ablation as ablation_report
from hjepa.search.reports import details
from hjepa.search.reports import factorial as factorial_report
from hjepa.search.reports import importance as importance_report
from hjepa.search.reports import numbers as report_numbers
from hjepa.search.snapshot import Snapshot

Format = Literal["table", "json", "csv", "markdown", "latex", "html"]
COLUMNS = ("rank", "configuration", "trials", "state", "score", "sd", "metric", "epoch", "overrides")
#: Ends whose reason a person wants to see.
UNEXPECTED = ("diverged", "collapsed", "out_of_memory", "failed", "preempted")
#: Configurations in the table for a terminal, the best.
SHOWN = 200
#: Columns of the table whose cells wrap, at so many characters.
WRAPPED = {"trials": 14, "state": 16, "overrides": 64, "conclusion": 40, "verdict": 32}
#: Begins a note that is a command to run.
NEXT = "next: "
#: Columns of numbers.
RIGHT = ("rank", "score", "sd", "epoch", "effect", "seeds", "on test", "fresh score", "importance", "by chance")


def report(records: StudyRecords, style: Format) -> str:
    """The report of a study as text."""
    if style in ("latex", "html"):
        from hjepa.search.reports import latex as report_latex  # noqa: PLC0415 - the page's libraries take a second to load
        from hjepa.search.reports import page as report_page  # noqa: PLC0415 - the page's libraries take a second to load

        render = {"latex": report_latex.latex, "html": report_page.page}[style]
        return render(content(Snapshot(records)))
    return {"table": table, "json": as_json, "csv": as_csv, "markdown": markdown}[style](Snapshot(records))


def content(records: StudyRecords) -> dict[str, Any]:
    """The JSON report: a contract with other programs, see `schema_version`.

    `objective` is a list, the score first; `at` says which of a trial's scores counts, by default that at full budget,
    so that no other trial can win. `floor` is what the baseline's untrained encoder scores by it, mean over seeds;
    `trials` holds one row per configuration and seed. An ablation's has `comparisons` too, one row each, in points; a
    search's has `selection`: the winner, and what its confirmation on fresh seeds says. Further keys are those of
    report_numbers and details; `title`, `heading` and `notes` are what is said of it all. LaTeX, HTML and figures are
    made from this alone.
    """
    numbers = report_numbers.numbers(records)
    notes = [note for note in _notes(records) if not note.startswith(NEXT)]
    if is_ablation(records):
        notes = [*ablation_report.notes(records, comparisons.compare(records)), *notes]
    said = {"title": _title(records), "heading": heading(records), "notes": [*notes, *report_numbers.lines(numbers)]}
    return _contract(records) | numbers | details.details(records) | said


def _tabled(records: StudyRecords) -> dict[str, Any]:
    """The JSON report without what stands beside its tables."""
    return _contract(records) | report_numbers.numbers(records)


def _contract(records: StudyRecords) -> dict[str, Any]:
    """Its oldest keys."""
    trials = records.trials()
    goals = records.goals
    beside = [{"metric": name, "mode": COSTS[name].mode, "at": None} for name in goals.costs]
    found = {
        "schema_version": SCHEMA_VERSION,
        "study": records.name,
        "objective": [{"metric": records.metric, "mode": "max", "at": goals.at}, *beside],
        "floor": floors(trials).get(goals.scored),
        "trials": [row(records, trial) for trial in trials],
    }
    if is_ablation(records):
        found["comparisons"] = [comparisons.entry(compared) for compared in comparisons.compare(records)]
    else:
        found["selection"] = selection.selection(records)
    return found


def heading(records: StudyRecords) -> str:
    """What a report's tables are of."""
    return ablation_report.heading(records) if is_ablation(records) else _title(records)


def is_ablation(records: StudyRecords) -> bool:
    """Whether the study compares the cells of a design, rather than searching a space."""
    return "ablation" in records.spec


def row(records: StudyRecords, trial: TrialRecord) -> dict[str, Any]:
    """One trial as in the JSON report."""
    return {
        "id": trial.id,
        "config": trial.config,
        "cell": trial.cell,
        "seed": trial.seed,
        "state": trial.state,
        "reason": trial.reason,
        "score": trial.score,
        "metric": trial.metric,
        "epoch": trial.epoch,
        "rung": trial.rung,
        "duplicate_of": trial.duplicate_of,
        "attempts": len(trial.attempts) + 1,
        "micro_batch": trial.micro_batch,
        "overrides": dict(trial.overrides),
        "mlflow_run_id": trial.mlflow_run_id,
        "path": trial.directory.relative_to(records.directory).as_posix(),
    }


def as_json(records: StudyRecords) -> str:
    """The JSON report as text."""
    return to_json(content(records)) + "\n"


def as_csv(records: StudyRecords) -> str:
    """The rows of the JSON report as CSV; each searched field has a column of its own. An ablation's: comparisons.

    A search whose importances are known ends with a row `importance`, with a share under each field.
    """
    if is_ablation(records):
        return _comparisons_csv(records)
    found = _tabled(records)
    rows = found["trials"]
    paths = list(dict.fromkeys(path for entry in rows for path in entry["overrides"]))
    names = [name for name in row_names() if name != "overrides"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, *paths])
    for entry in rows:
        overrides = [shown(entry["overrides"][path]) if path in entry["overrides"] else "" for path in paths]
        writer.writerow([*("" if entry[name] is None else entry[name] for name in names), *overrides])
    known = importance_report.by_path(found["importances"])
    if known:
        writer.writerow(["importance", *[""] * (len(names) - 1), *(known.get(path, "") for path in paths)])
    return out.getvalue()


def _comparisons_csv(records: StudyRecords) -> str:
    """One line a comparison, then one a term of a factorial model, numbers as in the JSON report; lists as JSON."""
    found = _tabled(records)
    entries = [*found["comparisons"], *factorial_report.as_comparisons(found["factorial"])]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(entries[0]) if entries else ["name"], lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        plain = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in entry.items()}
        writer.writerow(plain)
    return out.getvalue()


def row_names() -> tuple[str, ...]:
    """Keys of a row of the JSON report, in order."""
    first = ("id", "config", "cell", "seed", "state", "reason", "score", "metric", "epoch", "rung")
    return (*first, "duplicate_of", "attempts", "micro_batch", "overrides", "mlflow_run_id", "path")


def table(records: StudyRecords) -> str:
    """The report for a terminal, without colours: an ablation's comparisons, configurations, what to do next."""
    parts = [_title(records), ""]
    numbers = report_numbers.numbers(records)
    if is_ablation(records):
        rows = comparisons.compare(records)
        drawn = _drawn(ablation_report.COLUMNS, [ablation_report.cells(row) for row in rows])
        beside = _drawn(ablation_report.BESIDE, [ablation_report.beside(row) for row in rows])
        notes = ablation_report.notes(records, rows)
        parts = [ablation_report.heading(records), "", drawn, "", *notes, "", beside, "", *parts]
    ranked = [_cells(standing) for standing in standings(records)]
    parts += [_drawn(COLUMNS, ranked[:SHOWN]), ""]
    if len(ranked) > SHOWN:
        parts += [f"and {len(ranked) - SHOWN:,} more configurations; every other --format holds them all", ""]
    candidates = _candidates(records)
    if candidates:
        parts += [_drawn(selection.COLUMNS, candidates), ""]
    for section in report_numbers.sections(numbers):
        parts += [_drawn(section.columns, section.rows), ""]
    return "\n".join([*parts, *report_numbers.lines(numbers), *_notes(records)]) + "\n"


def _candidates(records: StudyRecords) -> list[list[str]]:
    """The confirmation of a search as cells of a table; nothing where there is none."""
    return [] if is_ablation(records) else selection.rows(selection.selection(records))


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        drawn.add_column(name, justify="right" if name in RIGHT else "left", max_width=WRAPPED.get(name))
    for cells in rows:
        drawn.add_row(*map(escape, cells))
    out = io.StringIO()
    # Wider than any table: piped output has no terminal to fit into, and a narrow one wraps lines by itself.
    Console(file=out, width=1000, color_system=None, highlight=False).print(drawn)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def markdown(records: StudyRecords) -> str:
    """The report for a NOTES.md."""
    lines = [f"# {records.name}", ""]
    numbers = report_numbers.numbers(records)
    if is_ablation(records):
        rows = comparisons.compare(records)
        lines += [ablation_report.heading(records), ""]
        lines += _piped(ablation_report.COLUMNS, [ablation_report.cells(row) for row in rows])
        lines += ["", *(f"- {note}" for note in ablation_report.notes(records, rows)), "", "## Beside the t test", ""]
        lines += [*_piped(ablation_report.BESIDE, [ablation_report.beside(row) for row in rows]), ""]
        lines += ["## Configurations", ""]
    lines += _piped(COLUMNS, [_cells(entry) for entry in standings(records)])
    candidates = _candidates(records)
    if candidates:
        lines += ["", "## Confirmation on fresh seeds", "", *_piped(selection.COLUMNS, candidates)]
    for section in report_numbers.sections(numbers):
        lines += ["", f"## {section.title}", "", *_piped(section.columns, section.rows)]
    notes = [*report_numbers.lines(numbers), *_notes(records)]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _piped(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows]


def _title(records: StudyRecords) -> str:
    return f"{records.name}: {records.goals.in_words(records.epochs)}"


def _cells(standing: Standing) -> list[str]:
    """A configuration's cells, in the order of COLUMNS."""
    first = standing.trials[0]
    states = counts(standing.trials)
    state = next(iter(states)) if len(states) == 1 else ", ".join(f"{count} {name}" for name, count in states.items())
    reached = [trial.epoch for trial in standing.trials if trial.epoch is not None]
    return [
        "" if standing.rank is None else str(standing.rank),
        standing.cell,
        ", ".join(trial.id for trial in standing.trials),
        state,
        "" if standing.score is None else f"{standing.score:.4f}",
        "" if standing.spread is None else f"{standing.spread:.4f}",
        standing.metric or "",
        str(max(reached)) if reached else "",
        _settings(first),
    ]


def _settings(trial: TrialRecord) -> str:
    """What a configuration's score is of, beside the base; the changes of its rates as their number."""
    known = {path: value for path, value in trial.trained.items() if path != CHANGES}
    text = ", ".join(f"{path}={_short(value)}" for path, value in known.items()) or "(baseline)"
    count = len(trial.trained[CHANGES]) if trial.lineage else 0
    return f"{text}; rates changed {'once' if count == 1 else f'{count} times'}" if count else text


def _short(value: Any) -> str:
    """A value for people: four significant digits; JSON and CSV hold the exact one."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _notes(records: StudyRecords) -> list[str]:
    """Floors, states, the winner and the next command."""
    trials = records.trials()
    measured = floors(trials)
    metric = records.goals.scored
    floor, pixels = measured.get(metric), measured.get(f"pixels.{metric}")
    named = [("untrained encoder", floor), ("raw pixels", pixels)]
    known = [f"{name} {value:.4f}" for name, value in named if value is not None]
    notes = [f"floors ({metric}, baseline's mean over seeds): {', '.join(known) or 'not measured yet'}"]
    notes.append("trials: " + (", ".join(f"{count} {state}" for state, count in counts(trials).items()) or "none yet"))
    notes += [*warm_start.lines(records.directory), *reuse.lines(trials)]
    stopped = budget.ending(records.directory)
    if stopped is not None:
        notes.append(f"the last run ended before the study did: {stopped}")
    if any(trial.metric not in (None, metric) for trial in trials):
        notes.append(f"a score by another metric than {metric} is from a trial without its full probe; it has no rank")
    notes += [
        f"{trial.id} {trial.state}: {trial.reason}" for trial in trials if trial.state in UNEXPECTED and trial.reason
    ]
    notes += [f"{trial.id} {trial.retried}" for trial in trials if trial.attempts]
    notes += [
        f"{count} trials of {epochs} epochs stand apart, as nothing here is of another budget (run --epochs {epochs})"
        for epochs, count in other_budgets(records).items()
    ]
    if is_ablation(records):
        return notes
    chosen = selection.selection(records)
    notes += chosen["words"]
    if chosen["state"] == "nothing":
        return notes
    place = records.place
    if chosen["state"] == "unconfirmed":
        notes.append(f"{NEXT}hjepa-search confirm {place}")
    notes.append(f"{NEXT}hjepa-search export {place} --best --output best.yaml && hjepa-train best.yaml")
    return notes
