"""What is published beside a study is what its records say: the report to the letter, the notes in every effect."""

from pathlib import Path

import pytest

import hjepa.search
from hjepa.search.records import StudyRecords
from hjepa.search.reports.report import content, report

FOLDER = Path(__file__).parents[2] / "experiments" / "phase1_cifar10"


@pytest.fixture(scope="module")
def records() -> StudyRecords:
    return StudyRecords.open(FOLDER / "records")


def test_the_report_is_what_the_records_say(records: StudyRecords) -> None:
    assert report(records, "markdown") == (FOLDER / "report.md").read_text(), (
        "hjepa-search report experiments/phase1_cifar10/records --format markdown "
        "--output experiments/phase1_cifar10/report.md"
    )


def test_the_notes_name_every_effect_level_and_floor_of_the_records(records: StudyRecords) -> None:
    notes = (FOLDER / "NOTES.md").read_text()
    found = content(records)
    for row in found["comparisons"]:
        assert f"| {row['effect']:+.2f} | {row['low']:+.2f} to {row['high']:+.2f} |" in notes
        test = row["test"]
        assert f"| {test['effect']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f}) |" in notes
        assert f"| {row['p_holm']:.4f} | {len(row['seeds'])} | {row['test']['effect']:+.2f}".replace("0.", ".") in notes
    pairing = found["pairing"]
    assert f"{pairing['ratio']:.2f}".lstrip("0") in notes
    assert f"{pairing['low']:.2f} to {pairing['high']:.2f}".replace("0.", ".", 1) in notes
    gains = {
        cell: [
            f"{100 * (level['trained'] - level['untrained']):+.2f}"
            for level in found["level_probes"]["rows"]
            if level["cell"] == cell
        ]
        for cell in ("full", "without_layer_scale")
    }
    assert all(", ".join(each) in notes.replace("\n", " ") for each in gains.values())
    full = hjepa.search.load(FOLDER / "records").dropna(subset=["probe.top1"])
    for value in full.groupby(["cell", "epoch"])["probe.top1"].mean():
        assert f"{value:.4f}".lstrip("0") in notes
