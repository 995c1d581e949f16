"""What an ablation would run and could show, in words, before anything runs."""

from collections.abc import Sequence
from pathlib import Path

from hjepa.overrides import shown
from hjepa.search.ablation.cells import design_at
from hjepa.search.ablation.comparisons import Compared, compared, size, spread, subtraction
from hjepa.search.ablation.designs import Cell, Comparison, Design
from hjepa.search.ablation.keys import ClaimSpec
from hjepa.search.ablation.power import POWER, seeds_for, smallest_detectable
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study


def shared(study: Study, design: Design) -> dict[str, str]:
    """Cells that resolve to the configuration of an earlier one: {cell: that cell}. They run once."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for cell in design.cells:
        # Settings that act, not the overrides: a field at its default is the same as none.
        key = study.config(design.overrides(cell), study.spec.seeds[0] + cell.shift).model_dump_json()
        if key in first:
            same[cell.name] = first[key]
        first.setdefault(key, cell.name)
    return same


def lines(study: Study, directory: Path) -> list[str]:
    """The design of an ablation: cells, comparisons, what is shared, claims, and what its seeds can show."""
    design = study.design
    assert design is not None
    trials = _trials(directory, study.epochs)
    design = design_at(design, trials, study.spec.score.metric)
    same = shared(study, design)
    first = "the first gives the floors" if design.name == "fractional_factorial" else "the first is the baseline"
    text = [f"design       {design.name}; {_counted(design.size, 'cell')}; {first}"]
    text += [f"             {note}" for note in design.notes]
    text += ["cells", *(f"  {_cell(cell, design, same)}" for cell in design.cells)]
    if design.name == "path":
        text.append("  ... each further step as the scores before it decide")
    sd, origin = _sd(study, compared(study, trials, study.spec.score.metric) if trials else ())
    rows = len(design.factors) + (len(design.factors) > 1) if design.name == "path" else len(design.comparisons)
    text += [f"comparisons, {subtraction(design.name)}", *_comparisons(design, len(study.spec.seeds), rows, sd, origin)]
    if study.spec.claims:
        text.append("claims")
    return text + [f"  {claim.factor}: {_claim(claim, design, rows, sd)}" for claim in study.spec.claims]


def _claim(claim: ClaimSpec, design: Design, rows: int, sd: float | None) -> str:
    """A claim, its source, and the seeds that find its smaller end."""
    text = f"{claim.effect[0]:+g} to {claim.effect[1]:+g} points ({claim.source})"
    if sd is None:
        return text
    # A step of a path that is not decided yet compares two cells.
    variance = next((size(each) for each in design.comparisons if each.name == claim.factor), 2.0)
    needed = seeds_for(claim.effect[0], sd * variance**0.5, rows=rows)
    seeds = "more than 10,000 seeds" if needed is None else f"{needed} seeds"
    return f"{text}; {claim.effect[0]:+g} takes {seeds}"


def _trials(directory: Path, epochs: int) -> list[TrialRecord]:
    """What ran before in the study's directory, at these epochs."""
    return StudyRecords.open(directory).trials_at(epochs) if (directory / "study.yaml").is_file() else []


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _cell(cell: Cell, design: Design, same: dict[str, str]) -> str:
    settings = ", ".join(f"{path}={shown(value)}" for path, value in design.overrides(cell).items())
    uses = sum(cell.name in (*c.minuend, *c.subtrahend) for c in design.comparisons)
    seeds = f"; seeds + {cell.shift}" if cell.shift else ""
    once = f"; the configuration of {same[cell.name]}: runs once" if cell.name in same else ""
    used = f"; shared by {_counted(uses, 'comparison')}" if uses > 1 else ""
    return f"{cell.name}: {settings or '(base)'}{seeds}{used}{once}"


def _comparisons(design: Design, seeds: int, rows: int, sd: float | None, origin: str) -> list[str]:
    """The comparisons and the smallest effect that each can be expected to find."""
    text = [f"  {c.name}: {c.says}{_detectable(c, sd, seeds, rows)}" for c in design.comparisons]
    if design.name == "path":
        text.append("  one a step: the cell that is kept minus the one before; and the goal minus the start")
    level = f"paired t test, Holm over {_counted(rows, 'row')}, 5 %, found in {POWER:.0%} of studies"
    text.append(f"smallest detectable effect: {origin}; {_counted(seeds, 'seed')}; {level}")
    if design.name == "path" and sd is not None:
        found = smallest_detectable(sd * 2**0.5, seeds, rows=rows)
        text.append("  " + ("none with one seed" if found is None else f"{found:.2f} points a step"))
    return text


def _detectable(comparison: Comparison, sd: float | None, seeds: int, rows: int) -> str:
    if sd is None:
        return ""
    found = smallest_detectable(sd * size(comparison) ** 0.5, seeds, rows=rows)
    return "; no effect is detectable with one seed" if found is None else f"; detectable from {found:.2f} points"


def _sd(study: Study, measured: Sequence[Compared]) -> tuple[float | None, str]:
    """The spread of a cell's score over seeds, in points, and where it is from."""
    assert study.spec.ablation is not None
    stated = study.spec.ablation.seed_sd
    found = spread(measured)
    if found is not None:
        used = [len(row.effect.seeds) for row in measured if row.effect.sd]
        origin = f"measured on paired differences ({_counted(len(used), 'comparison')}, at most {max(used)} seeds)"
        return found, f"sd {found:.2f} points over seeds, {origin}"
    if stated is not None:
        return stated, f"sd {stated:g} points over seeds, as stated (as if pairing did not help)"
    return None, "unknown before trials ran; state ablation.seed_sd, in points"
