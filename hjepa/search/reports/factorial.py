"""What the cells of an ablation say together: the model of a factorial design, and what pairing the seeds was worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from hjepa.search.ablation.comparisons import p_value, scores_on_hold_out, states_of
from hjepa.search.ablation.designs import Design
from hjepa.search.ablation.factorial import Factorial, Term, factorial
from hjepa.search.ablation.statistics import Pairing, pairing
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

#: Columns of the table of terms.
COLUMNS = ("term", "effect", "95 % interval", "p (Holm)", "aliases", "conclusion")
DESIGNS = ("factorial", "fractional_factorial")


def model(study: Study, records: StudyRecords) -> dict[str, Any] | None:
    """The linear model of a factorial or fractional design, as in the JSON report, in points; None of any other design.

    `terms` are main effects and two-way interactions over all cells and seeds at once, each with its aliases;
    `cannot` says why there are none.
    """
    design = study.design
    if design is None or design.name not in DESIGNS:
        return None
    many = [factor.name for factor in design.factors if not factor.two_level]
    if many:
        why = f"{many[0]} has more than two levels: no model, the comparisons stand alone"
        return {
            "terms": [],
            "residual_sd": None,
            "freedom": 0,
            "missing": [],
            "cannot": why,
            "words": [f"model: {why}"],
        }
    trials = records.trials()
    scores, missing = _measured(study, design, trials, records.metric)
    found = factorial(_codes(design), scores, missing)
    return {
        "terms": [_term(term) for term in found.terms],
        "residual_sd": found.residual_sd,
        "freedom": found.freedom,
        "missing": [{"seed": gap.seed, "cell": gap.side, "state": gap.state} for gap in found.missing],
        "cannot": None,
        "words": _words(found, _copies(trials)),
    }


def rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """The terms as cells of a table, in the order of COLUMNS."""
    return [] if found is None else [_row(term) for term in found["terms"]]


def as_comparisons(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The terms with the keys of comparisons, for a table that holds both: of kind `term`."""
    if found is None:
        return []
    same = ("name", "effect", "low", "high", "p", "p_holm", "significant", "conclusion")
    return [
        {name: term[name] for name in same} | {"kind": "term", "difference": " ".join(["model:", *_signed(term)])}
        for term in found["terms"]
    ]


def pairing_worth(study: Study, records: StudyRecords) -> dict[str, Any]:
    """What pairing the seeds of an ablation was worth, as in the JSON report.

    `ratio` is the standard error of a difference with paired seeds over that with unpaired ones; over the cells
    that have scores on two seeds or more, each configuration once.
    """
    trials = records.trials()
    scores = scores_on_hold_out(study, trials, records.metric)
    copies = _copies(trials)
    cells = {name: cell for name, cell in scores.items() if len(cell) > 1 and name not in copies}
    found = pairing(cells)
    if study.design is not None and study.design.name == "a_a":
        found = Pairing(found.cells, found.seeds, cannot="the labels of an A/A study share no seed")
    interval = found.interval
    return {
        "cells": found.cells,
        "seeds": list(found.seeds),
        "ratio": found.ratio,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "cannot": found.cannot,
        "words": [_worth(found)],
    }


def _codes(design: Design) -> dict[str, dict[str, int]]:
    return {
        cell.name: {factor.name: 1 if cell.levels[factor.name] == "with" else -1 for factor in design.factors}
        for cell in design.cells
    }


def _measured(
    study: Study, design: Design, trials: Sequence[TrialRecord], metric: str
) -> tuple[dict[str, dict[int, float]], dict[str, dict[int, str]]]:
    """The cells' scores, and how the trials ended that have none."""
    known, states = scores_on_hold_out(study, trials, metric), states_of(study, trials)
    scores = {cell.name: known.get(cell.name, {}) for cell in design.cells}
    missing = {
        name: {seed: states.get(name, {}).get(seed, "not run") for seed in study.spec.seeds if seed not in cell}
        for name, cell in scores.items()
    }
    return scores, missing


def _copies(trials: Sequence[TrialRecord]) -> list[str]:
    """Cells whose configuration another cell has: they did not run."""
    return list(dict.fromkeys(trial.cell for trial in trials if trial.duplicate_of is not None))


def _term(term: Term) -> dict[str, Any]:
    interval = term.interval
    return {
        "name": term.name,
        "factors": list(term.factors),
        "aliases": list(term.aliases),
        "effect": term.effect,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "p": term.p,
        "p_holm": term.p_holm,
        "significant": term.significant,
        "conclusion": _conclusion(term),
    }


def _conclusion(term: Term) -> str:
    if term.cannot is not None:
        return term.cannot
    if not term.significant or term.effect is None:
        return "no effect shown" if len(term.factors) == 1 else "no interaction shown"
    if len(term.factors) == 1:
        return "higher with it" if term.effect > 0 else "lower with it"
    return "each adds to the other's effect" if term.effect > 0 else "each takes from the other's effect"


def _words(found: Factorial, copies: Sequence[str]) -> list[str]:
    tests = sum(term.p is not None for term in found.terms)
    notes = [f"model: {note}" for note in found.notes]
    if tests and found.residual_sd is not None:
        error = f"residual sd {found.residual_sd:.2f} points on {found.freedom} degrees of freedom"
        fit = f"model: score = seed + terms by least squares over all cells; {error}; Holm over {tests} terms"
        notes.insert(0, f"{fit}; the comparisons, each on its own seeds' differences, stay the primary tests")
    if copies:
        named = ", ".join(copies)
        notes.append(
            f"model: {named} did not run, but has the scores of another cell's configuration: errors are too small"
        )
    return notes


def _row(term: Mapping[str, Any]) -> list[str]:
    low, high, p = term["low"], term["high"], term["p_holm"]
    return [
        term["name"],
        "" if term["effect"] is None else f"{term['effect']:+.2f}",
        "" if low is None else f"{low:+.2f} to {high:+.2f}",
        p_value(p, term["significant"]),
        ", ".join(term["aliases"]),
        term["conclusion"],
    ]


def _signed(term: Mapping[str, Any]) -> list[str]:
    """The term and its aliases as a sum."""
    return [term["name"], *(f"- {name[1:]}" if name.startswith("-") else f"+ {name}" for name in term["aliases"])]


def _worth(found: Pairing) -> str:
    if found.ratio is None or found.interval is None:
        return f"pairing of seeds: {found.cannot}"
    low, high = found.interval.low, found.interval.high
    said = "pairing helped" if high < 1 else "pairing did harm" if low > 1 else "not shown to help, nor to harm"
    size = f"{found.ratio:.2f} of that with unpaired ones (95 % interval {low:.2f} to {high:.2f}"
    over = f"{found.cells} cells, {len(found.seeds)} seeds"
    return f"pairing of seeds: a difference's standard error is {size}; {over}): {said}"
