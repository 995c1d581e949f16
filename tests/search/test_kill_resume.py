"""A study whose driver is killed at any moment loses nothing and repeats nothing: a short form of the benchmark."""

from pathlib import Path

import pytest

from benchmarks.kill_resume import Moment, count, disturb, moments, write_study
from hjepa.search.execution.order import pinned
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study
from hjepa.training import train


def test_moments_are_seeded_and_of_every_kind() -> None:
    drawn = moments(20, seed=0)
    assert drawn == moments(20, seed=0) != moments(20, seed=1)
    assert {kind: sum(moment.kind == kind for moment in drawn) for kind in ("start", "ray", "record", "train")} == {
        "start": 5,
        "ray": 5,
        "record": 5,
        "train": 5,
    }
    assert {moment.group for moment in drawn} == {False, True}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_driver_costs_nothing(tmp_path: Path) -> None:
    write_study(tmp_path, "grid", trials=4, epochs=3)
    when = [
        Moment("start", 2.5),
        Moment("ray", 2.0),
        Moment("record", 0.0, changes=3),
        Moment("train", 0.3, group=True),  # the last, so that nothing is left to wait for
    ]
    command, counts = disturb(tmp_path, when, print)
    count(command, counts)
    assert counts.kept, counts
    assert (counts.kills, counts.trials, dict(counts.states)) == (4, 4, {"completed": 4})
    study = Study.load(tmp_path / "study.yaml")
    for trial in StudyRecords.open(command.directory).trials():
        config = pinned(study.config(trial.overrides, trial.seed), cpus=1)
        alone = train(config, tmp_path / "alone" / trial.id)
        assert (trial.score, trial.result["metrics"]) == (alone["score"], alone["metrics"])
