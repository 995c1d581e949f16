"""The comparisons of an ablation as cells of a table, the same in every format."""

from collections.abc import Sequence

from hjepa.search.ablation.comparisons import Compared, p_value, subtraction
from hjepa.search.ablation.effects import Interval
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study

COLUMNS = ("comparison", "effect", "95 % interval", "p (Holm)", "seeds", "conclusion", "claimed", "verdict", "on test")

#: What stands beside the t test.
BESIDE = (
    "comparison",
    "p (t)",
    "p (sign-flip)",
    "its floor",
    "p (Wilcoxon)",
    "BCa interval",
    "its coverage",
    "margin",
    "p (equivalence, Holm)",
)


def heading(records: StudyRecords) -> str:
    """What the table is of; its numbers hold at this scale."""
    base, design = records.spec["base"], records.spec["ablation"]["design"]
    dataset = base.get("data.dataset", "digits")
    images = base.get("data.train_size")
    scale = f"{dataset}{f', {images} images' if images else ''}, {records.epochs} epochs"
    return f"{records.name}, {design}, at this scale ({scale}): points of {records.metric} on the hold-out"


def cells(row: Compared) -> list[str]:
    """A comparison's cells, in the order of COLUMNS; empty where nothing is known."""
    found, interval = row.effect, row.effect.interval
    return [
        row.comparison.name,
        points(found.mean),
        "" if interval is None else f"{points(interval.low)} to {points(interval.high)}",
        p_value(row.row.p, row.row.significant),
        str(len(found.seeds)),
        row.row.words,
        "; ".join(f"{judged.claim.low:+g} to {judged.claim.high:+g}" for judged in row.claims),
        "; ".join(judged.words for judged in row.claims),
        "" if row.test is None else on_test(row.test.mean, row.test.interval),
    ]


def beside(row: Compared) -> list[str]:
    """The other tests of a comparison, in the order of BESIDE; empty where there are none."""
    found = row.effect
    flip, bootstrap = found.sign_flip, found.bootstrap
    return [
        row.comparison.name,
        p_value(found.p),
        p_value(flip.p if flip else None),
        p_value(flip.floor if flip else None),
        p_value(found.wilcoxon),
        "" if bootstrap is None else f"{points(bootstrap.low)} to {points(bootstrap.high)}",
        "" if bootstrap is None or bootstrap.coverage is None else f"{bootstrap.coverage:.2f}",
        "" if found.equivalence is None else f"±{found.equivalence.margin:g}",
        p_value(row.row.p_equivalent),
    ]


def notes(records: StudyRecords, rows: Sequence[Compared]) -> list[str]:
    """What a reader of the table must know."""
    said = [_of_table(rows, records.spec["ablation"]["design"]), *_of_design(records), *_of_claims(rows)]
    few = [row for row in rows if row.effect.sign_flip is not None and len(row.effect.seeds) < 6]
    if few:
        floor = max(row.effect.sign_flip.floor for row in few if row.effect.sign_flip is not None)
        said.append(f"below 6 seeds the exact sign-flip test cannot reach 0.05 (its floor here: {floor:.3g})")
    if any(row.comparison.kind == "step" for row in rows):
        said.append("each step of the path was chosen by these scores: its effect is optimistic")
    said += [f"{row.comparison.name}: {gap}" for row in rows for gap in row.effect.missing]
    if any(row.test is not None for row in rows):
        said.append("on test: the same effect and its interval on the test split, which nothing was selected on")
    else:
        said.append("the test split is read when every trial has ended")
    return said


def _of_table(rows: Sequence[Compared], design: str) -> str:
    """What its effects, intervals and stars are."""
    tests = max((row.row.tests for row in rows), default=0)
    return (
        f"effect: {subtraction(design)}; interval: paired t, of its row alone; "
        f"*: p at most 0.05 after Holm's correction over {tests} test{'s' * (tests != 1)}"
    )


def _of_claims(rows: Sequence[Compared]) -> list[str]:
    """Who claims what, and how it is judged."""
    said = [
        f"claimed of {row.comparison.name}: {judged.claim.low:+g} to {judged.claim.high:+g} ({judged.claim.source})"
        for row in rows
        for judged in row.claims
    ]
    if said:
        said.append("verdict: by the interval, which is not corrected for the number of rows")
    if any(judged.more_seeds for row in rows for judged in row.claims):
        said.append("seeds that are added because of this table make the p values and intervals of the next too sure")
    return said


def _of_design(records: StudyRecords) -> Sequence[str]:
    """What the design itself has to say: a fraction its resolution and aliases, an A/A study its seeds."""
    if records.spec["ablation"]["design"] not in ("fractional_factorial", "a_a"):
        return ()
    design = Study.load(records.directory / "study.yaml").design
    return () if design is None else design.notes


def on_test(mean: float | None, interval: Interval | None) -> str:
    """An effect on the test split, with its interval."""
    return points(mean) if interval is None else f"{points(mean)} ({points(interval.low)} to {points(interval.high)})"


def points(value: float | None) -> str:
    """A number of points, with its sign."""
    return "" if value is None else f"{value:+.2f}"
