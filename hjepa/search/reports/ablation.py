"""The comparisons of an ablation as cells of a table, the same in every format."""

from collections.abc import Sequence

from hjepa.search.ablation.comparisons import Compared
from hjepa.search.records import StudyRecords

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
    corrected = "" if row.row.p is None else f"{row.row.p:.4f}{row.row.star}"
    return [
        row.comparison.name,
        points(found.mean),
        "" if interval is None else f"{points(interval.low)} to {points(interval.high)}",
        corrected,
        str(len(found.seeds)),
        row.row.words,
        "; ".join(f"{judged.claim.low:+g} to {judged.claim.high:+g}" for judged in row.claims),
        "; ".join(judged.words for judged in row.claims),
        "" if row.test is None else points(row.test.mean),
    ]


def beside(row: Compared) -> list[str]:
    """The other tests of a comparison, in the order of BESIDE; empty where there are none."""
    found = row.effect
    flip, bootstrap = found.sign_flip, found.bootstrap
    return [
        row.comparison.name,
        _p(found.p),
        _p(flip.p if flip else None),
        _p(flip.floor if flip else None),
        _p(found.wilcoxon),
        "" if bootstrap is None else f"{points(bootstrap.low)} to {points(bootstrap.high)}",
        "" if bootstrap is None or bootstrap.coverage is None else f"{bootstrap.coverage:.2f}",
        "" if found.equivalence is None else f"±{found.equivalence.margin:g}",
        _p(row.row.p_equivalent),
    ]


def notes(records: StudyRecords, rows: Sequence[Compared]) -> list[str]:
    """What a reader of the table must know."""
    said = [
        "effect: with minus without on the same seeds; interval: paired t; *: p at most 0.05 after Holm's correction"
    ]
    few = [row for row in rows if row.effect.sign_flip is not None and len(row.effect.seeds) < 6]
    if few:
        floor = max(row.effect.sign_flip.floor for row in few if row.effect.sign_flip is not None)
        said.append(f"below 6 seeds the exact sign-flip test cannot reach 0.05 (its floor here: {floor:.3g})")
    if any(row.comparison.kind == "step" for row in rows):
        said.append("each step of the path was chosen by these scores: its effect is optimistic")
    said += [f"{row.comparison.name}: {gap}" for row in rows for gap in row.effect.missing]
    if any(row.test is not None for row in rows):
        said.append("on test: the same effect on the test split, which nothing was selected on")
    else:
        said.append("the test split is read when every trial has ended")
    return said


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def points(value: float | None) -> str:
    """A number of points, with its sign."""
    return "" if value is None else f"{value:+.2f}"
