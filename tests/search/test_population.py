"""The worst members of a population go on as changed copies of its best, the same however often the driver dies and
in whatever order members are executed; none is stopped early, and each lineage is written down before it is copied."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search import lineage
from hjepa.search.conductor import Conductor
from hjepa.search.confirmation import confirmation
from hjepa.search.estimate import STUDY_START, TRIAL_START, estimate
from hjepa.search.extension import continued
from hjepa.search.frame import frame
from hjepa.search.plan import make_plan
from hjepa.search.plan import render as render_plan
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import content, report
from hjepa.search.sampler import StudySampler
from hjepa.search.sections import SchedulerSpec
from hjepa.search.status import render, status
from hjepa.search.stopping.population import exploits, intervals
from hjepa.search.stopping.schedulers import in_words
from hjepa.search.study import Study
from hjepa.search.tracking.values import facts

MakeStudy = Callable[..., Study]
RUNG, FULL = "probe_rung.top1", "probe.top1"
SCHEDULER = {"type": "pbt", "interval": 0.3, "seed": 3}
STUDY: dict[str, Any] = {
    "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}, "model.width": {"choice": [64, 128]}},
    "base": {"model.size": None, "model.width": 64, "model.depth": 2, "model.heads": 2},
    "budget": {"trials": 5, "epochs": 6},
    "scheduler": SCHEDULER,
    "sampler": {"type": "random"},
}


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    return make_study(**STUDY)


def open_study(study: Study, directory: Path) -> Conductor:
    records = StudyRecords.create_or_open(directory / "study", study, "data")
    sampler = StudySampler(
        study.space, study.spec.sampler, trials=study.configurations, journal=directory / "study" / "journal"
    )
    return Conductor(study, records, sampler, fingerprint=lambda config: "data", check=lambda config: None)


def score(conductor: Conductor, trial: TrialRecord, epoch: int) -> float:
    """Better with the rate, worse for each change: what it is can be told from the settings alone."""
    config = conductor.config(trial)
    passed = [change.lr for change in config.optim.changes or () if change.epoch < epoch]
    return 0.1 + min(0.8, 20 * config.optim.lr) + 0.01 * epoch + 0.001 * sum(passed)


def execute(conductor: Conductor, trial: TrialRecord) -> None:
    """Train a trial from its checkpoint, which is the epoch, as far as it is let."""
    folder = trial.directory
    conductor.started(trial.id)
    checkpoint, metrics = folder / "checkpoint.pt", folder / "metrics.jsonl"
    done = json.loads(checkpoint.read_text())["epoch"] if checkpoint.exists() else 0
    lines = metrics.read_text().splitlines()[:done] if done else []
    for epoch in range(done + 1, conductor.study.epochs + 1):
        value = score(conductor, trial, epoch)
        lines.append(json.dumps({"kind": "rung", "step": epoch, "epoch": epoch, RUNG: value, "by": trial.id}))
        metrics.write_text("\n".join(lines) + "\n")
        checkpoint.write_text(json.dumps({"epoch": epoch, "of": trial.id}))
        if conductor.reported(trial.id, {"epoch": epoch, RUNG: value}) is not None:
            conductor.ended(trial.id)
            return
    epochs = conductor.study.epochs
    last = {FULL: score(conductor, trial, epochs), RUNG: 0.0}
    write_json(folder / "result.json", {"state": "completed", "reason": None, "epoch": epochs, "metrics": last})
    conductor.ended(trial.id)


def finish(conductor: Conductor) -> list[TrialRecord]:
    while (trial := conductor.next_trial()) is not None:
        execute(conductor, trial)
    assert conductor.finished
    return conductor.records.trials()


def told(records: list[TrialRecord]) -> list[Any]:
    return [(trial.id, trial.state, trial.score, trial.lineage) for trial in records]


def test_later_seeds_and_trials_of_the_command_line_are_checked_as_those_of_the_file(
    write_study: Callable[..., Path],
) -> None:
    for flags, said in (({"seeds": 2}, "seeds: got [0, 1]; allowed one"), ({"trials": 1}, "budget.trials: got 1")):
        with pytest.raises(ConfigError) as error:
            Study.load(write_study(**STUDY), **flags)  # type: ignore[arg-type]
        assert str(error.value).startswith(said)


def test_a_population_grows_until_it_has_been_compared(study: Study, make_study: MakeStudy, tmp_path: Path) -> None:
    directory = tmp_path / "study"
    first = open_study(study, tmp_path).next_trial()
    assert first is not None
    grown = continued(study, directory, extend=1)
    assert grown.configurations == 6
    records = finish(open_study(grown, tmp_path))
    assert sum(len(trial.lineage) for trial in records) > 0
    assert continued(grown, directory).configurations == 6
    assert continued(make_study(**STUDY), directory).configurations == 6, "the file says five"
    larger = make_study(**STUDY | {"budget": {"trials": 8, "epochs": 6}})
    for flags, said in (
        ({"extend": 2}, "--extend: got 2; allowed none: the population in"),
        ({"trials": 8}, "--trials: got 8; allowed at most 6: the population in"),
        ({}, "budget.trials: got 8; allowed at most 6: the population in"),
    ):
        with pytest.raises(ConfigError) as error:
            continued(study if "extend" in flags else larger, directory, **flags)
        assert str(error.value).startswith(said)
        assert len(error.value.problems) == 1
    longer = make_study(**STUDY | {"budget": {"trials": 8, "epochs": 4}})
    assert continued(longer, directory).configurations == 8, "a population of other epochs is another one"


def test_plan_and_status_know_that_members_wait_and_go_on(study: Study, tmp_path: Path) -> None:
    plan = make_plan(study, tmp_path / "study", {"CPU": 2})
    cost: Any = SimpleNamespace(training=6.0, probes=3.0, start=1.0, checkpoint_bytes=1.0)
    found = estimate(plan, lambda config: cost)
    assert found.share == 1.0
    assert found.start == pytest.approx(3 * (1.0 + TRIAL_START)), "each of two comparisons is a new start"
    assert found.seconds == pytest.approx(STUDY_START + 3 * found.trial), "five on two are three rounds"
    assert "sampler      random, seed 0; the baseline runs first\n" in render_plan(plan)

    conductor = open_study(study, tmp_path)
    for _ in range(5):
        trial = conductor.next_trial()
        assert trial is not None
        execute(conductor, trial)
        path = trial.directory / "result.json"
        write_json(path, {"state": "running", "reason": None, "epoch": 2, "seconds": 20.0, "metrics": {RUNG: 0.5}})
    shown = status(conductor.records)
    assert shown["rungs"] == [{"epoch": 2, "reached": 5, "stopped": 0, "waiting": 5}]
    assert shown["left"] == pytest.approx(10.0 * 5 * 4), "ten seconds an epoch, four more for each of five"
    assert "epoch 2: 5 reached it, 0 stopped, 5 waiting" in render(shown)


def test_a_report_shows_what_a_score_is_of(study: Study, tmp_path: Path) -> None:
    members = [trial for trial in finish(open_study(study, tmp_path)) if trial.lineage]
    text = report(StudyRecords.open(tmp_path / "study"), "table")
    for member in members:
        line = next(line for line in text.splitlines() if member.id in line)
        assert f"optim.lr={member.trained['optim.lr']:.4g}" in line
        count = len(member.trained["optim.changes"])
        assert f"rates changed {'once' if count == 1 else f'{count} times'}" in line
    table = frame(tmp_path / "study")
    assert set(table[table.trial == members[0].id]["optim.lr"]) == {members[0].trained["optim.lr"]}


def test_the_worst_copy_the_best_and_the_baseline_nobody() -> None:
    spec = SchedulerSpec(type="pbt", quantile=0.4, factors=(0.5, 2.0), vary=("optim.lr",))
    scores = {"base": 0.1, "a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2}
    numbers = {name: number for number, name in enumerate(scores)}
    found = exploits(scores, numbers, spec, 4)
    assert [exploit.member for exploit in found] == ["c", "d"]
    assert all(exploit.donor in ("a", "b") for exploit in found)
    assert all(set(exploit.factors) == {"optim.lr"} for exploit in found)
    assert found == exploits(dict(reversed(scores.items())), numbers, spec, 4), "the order does not matter"
    drawn = [
        tuple(exploits(scores, numbers, spec.model_copy(update={"seed": seed}), 4)[0].factors.values())
        for seed in range(20)
    ]
    assert set(drawn) == {(0.5,), (2.0,)}
    assert exploits(dict.fromkeys(scores, 0.5), numbers, spec, 4) == [], "an equal is not copied"
    assert exploits({"a": 0.5}, numbers, spec, 4) == []


def test_intervals_lie_on_the_grid_of_the_probes(make_study: MakeStudy) -> None:
    study = make_study(**STUDY | {"budget": {"trials": 4, "epochs": 100}})  # a probe every 5 epochs
    spec = study.spec.scheduler.model_copy(update={"interval": 0.22})
    assert intervals(spec, study.base) == (25, 50, 75)
    assert "pbt at epochs 25, 50, 75: the worst 25 %" in in_words(spec, study.base)


def test_a_population_ends_in_full_and_says_how_it_came_about(study: Study, tmp_path: Path) -> None:
    records = finish(open_study(study, tmp_path))
    assert {trial.state for trial in records} == {"completed"}
    assert records[0].lineage == ()
    changed = [trial for trial in records if trial.lineage]
    assert sorted(entry["epoch"] for trial in changed for entry in trial.lineage) == [2, 4]
    member = changed[0]
    donor = next(trial for trial in records if trial.id == member.lineage[-1]["from"])
    changes = study.config(member.trained, 0).optim.changes
    assert changes is not None
    assert [change.epoch for change in changes][-1] == member.lineage[-1]["epoch"]
    assert member.trained["optim.lr"] == donor.trained["optim.lr"] != member.overrides["optim.lr"]
    assert facts(member)["hjepa.lineage"].startswith(f"went on at epoch {member.lineage[-1]['epoch']} from {donor.id}")

    found = content(StudyRecords.open(tmp_path / "study"))
    assert found["population"]["exploits"] == 2
    assert found["early_stopping"]["stopped"] == 0
    assert any(line.startswith("lineage of the best: ") for line in found["notes"])
    candidates = confirmation(StudyRecords.open(tmp_path / "study"), top=4).spec.ablation
    assert candidates is not None
    assert "optim.changes" in str(candidates.factors), "what is confirmed is what was trained"


def test_the_order_of_execution_changes_nothing(study: Study, tmp_path: Path) -> None:
    one = told(finish(open_study(study, tmp_path / "one")))
    conductor = open_study(study, tmp_path / "many")
    while not conductor.finished:  # as many at once as there are, the last first
        batch = list(iter(conductor.next_trial, None))
        for trial in reversed(batch):
            execute(conductor, trial)
    assert told(conductor.records.trials()) == one


@pytest.mark.slow
def test_a_driver_that_dies_anywhere_ends_with_the_same_population(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(**{**STUDY, "budget": {"trials": 4, "epochs": 5}})
    expected = told(finish(open_study(study, tmp_path / "whole")))
    assert sum(len(trial[-1]) for trial in expected) == 2
    mark, take = StudyRecords.mark, lineage._take
    for dies in (1, 2, 3, 4, 7, 8, 9):  # in both generations: before the lineage, before the copy, before members go on
        steps = itertools.count(1)

        def step(dies: int = dies, steps: Any = steps) -> None:
            if next(steps) == dies:
                raise KeyboardInterrupt

        def marked(self: StudyRecords, trial: str, *, step: Any = step, **changes: Any) -> None:
            if {"lineage", "promoted"} & set(changes):
                step()
            mark(self, trial, **changes)

        def taken(donor: Path, member: Path, step: Any = step) -> None:
            step()
            take(donor, member)

        conductor = open_study(study, tmp_path / str(dies))
        with monkeypatch.context() as patch:
            patch.setattr(StudyRecords, "mark", marked)
            patch.setattr(lineage, "_take", taken)
            with pytest.raises(KeyboardInterrupt):
                finish(conductor)
        assert told(finish(open_study(study, tmp_path / str(dies)))) == expected, f"died at step {dies}"


def test_a_donor_without_a_checkpoint_is_trained_again_as_it_was(study: Study, tmp_path: Path) -> None:
    donor, member = tmp_path / "donor", tmp_path / "member"
    for folder in (donor, member):
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(folder.name)
    (member / "checkpoint.pt").write_text("its own")
    lineage._take(donor, member)
    assert [path.name for path in member.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"seeds": [0, 1]}, "seeds: got [0, 1]; allowed one with scheduler.type pbt"),
        ({"resources": {"workers": 2}}, "resources.workers: got 2; allowed 1 with scheduler.type pbt"),
        ({"base": {"optim.weight_decay": 0.0}}, "scheduler.vary: got optim.weight_decay; allowed rates above 0"),
        (
            {"base": {"evaluation.soup": "uniform"}},
            "evaluation.soup: got uniform; allowed none with scheduler.type pbt",
        ),
        ({"scheduler": {"type": "pbt", "vary": []}}, "scheduler.vary: got []; allowed one or more different rates"),
        ({"scheduler": {"type": "pbt", "factors": [1.0]}}, "scheduler.factors: got [1.0]; allowed one or more factors"),
        ({"scheduler": {"type": "pbt", "grace": 0.1}}, "scheduler.grace: allowed only when scheduler.type is asha"),
        (
            {"scheduler": {"type": "pbt", "variant": "promotion"}},
            "scheduler.variant: allowed only when scheduler.type is asha or hyperband",
        ),
        ({"budget": {"trials": 1, "epochs": 6}}, "budget.trials: got 1; allowed at least 2 with scheduler.type pbt"),
        ({"sampler": {"type": "gp"}}, "sampler.type: got gp; allowed tpe, random or grid with pbt"),
    ],
)
def test_what_is_no_population_is_refused(make_study: MakeStudy, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_study(**{**STUDY, "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}}, "base": {}, **keys})
    assert str(error.value).startswith(said)
