"""What ended an attempt at a trial decides whether there is another, and the records count: a killed driver forgets
nothing; a configuration's own fault is never tried again."""

from collections.abc import Callable
from typing import Any

import pytest

from hjepa.config import Config
from hjepa.overrides import identity
from hjepa.search.conductor import Conductor
from hjepa.search.export import export
from hjepa.search.files import read_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import report
from hjepa.search.retries import said, smaller
from hjepa.search.same_study import differences
from hjepa.search.status import render, status
from hjepa.search.study import Study
from hjepa.search.tracking.values import facts
from tests.search.test_conductor import SPACE, Bench

DIED = """Failure # 1
The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: End of file. \
Some common causes include: (1) the process was killed by the OOM killer due to high memory usage
"""
MEMORY = "Traceback\n  File\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 9 GiB"
NODE = "The actor died because its node has died."
PRESSED = """OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 192.0.2.2, ID: 0fe2) was 5.99GB used / 23.54GB limit (0.254345)
OOM kill reason: Memory usage 6420549632B exceeded threshold of 6420231680B (25.4% of 25276502016B limit)
Refer to the documentation on how to address the out of memory issue"""
RAISED = "Traceback\n  File\nValueError: boom"
MakeStudy = Callable[..., Study]


@pytest.fixture
def bench(make_study: MakeStudy, tmp_path: Any) -> Callable[..., Bench]:
    def bench(**keys: Any) -> Bench:
        keys = {"space": SPACE, "budget": {"trials": 2, "epochs": 3}, "scheduler": {"type": "none"}, **keys}
        return Bench(make_study(**keys), tmp_path)

    return bench


def begin(bench: Bench, conductor: Conductor, scores: list[float] | None = None) -> TrialRecord:
    trial = conductor.next_trial()
    assert trial is not None
    bench.execute(conductor, trial, list(scores or []))
    return trial


@pytest.mark.parametrize(
    ("error", "hung", "cause", "allowed", "state"),
    [
        (DIED, None, "crash", 2, "failed"),
        (NODE, None, "preempted", 3, "preempted"),
        (MEMORY, None, "out_of_memory", 2, "out_of_memory"),
        (PRESSED, None, "out_of_memory", 2, "out_of_memory"),
        (DIED, "hung: silent for 9 s", "hung", 1, "failed"),
    ],
)
def test_each_cause_has_its_retries_and_a_killed_driver_does_not_forget_them(
    bench: Callable[..., Bench], error: str, hung: str | None, cause: str, allowed: int, state: str
) -> None:
    study = bench(faults={"crash": 2, "preempted": 3, "out_of_memory": 2, "hung": 1})
    for attempt in range(allowed + 1):
        conductor = study.open()  # as after a killed driver
        trial = begin(study, conductor, [0.1] if attempt == 0 else None)
        conductor.failed(trial.id, error, hung)
        record = conductor.records.trial(trial.id)
        assert not study.sampler.heard or attempt == allowed, "the sampler hears of the end alone"
        if attempt < allowed:
            assert len(record.attempts) == attempt + 1
            assert read_json(trial.directory / "trial.json")["state"] == "pending"  # type: ignore[index]
            assert not conductor.finished
    assert record.state == state
    assert f"; {allowed} of {allowed} retries are spent" in str(record.reason)
    assert [(entry["cause"], entry["epoch"]) for entry in record.attempts] == [(cause, 1)] * allowed
    study.finish(conductor, lambda trial: 0.5)
    assert [trial.state for trial in StudyRecords.open(study.directory).trials()] == [state, "completed"]
    assert study.executed.count(trial.id) == allowed + 1


def test_a_retry_waits_for_nobody_and_is_shown_everywhere(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    first = begin(study, conductor)
    assert conductor.next_trial() is not None
    assert conductor.next_trial() is None
    assert conductor.waiting, "a running trial may have to be tried again"
    conductor.failed(first.id, DIED)
    again = conductor.next_trial()
    assert again is not None
    assert again.id == first.id
    study.execute(conductor, again, [0.5, 0.5, 0.5])
    record = conductor.records.trial(first.id)
    assert record.state == "completed"
    assert record.attempts[0]["reason"] == "its process died: End of file."
    words = "tried 2 times: crash at epoch 0"
    assert record.retried == words
    assert facts(record)["hjepa.retried"] == words
    assert f"{first.id} {words}" in report(conductor.records, "table")
    assert f"{first.id} ({first.cell}): {words}" in render(status(conductor.records))


def test_a_process_that_ray_ended_for_memory_is_said_in_a_line() -> None:
    why = "its process was ended by Ray, as the machine was low on memory: 5.99GB used / 23.54GB limit"
    assert said(f"Failure # 1 (occurred at noon)\n{PRESSED}\n") == why


@pytest.mark.parametrize("error", [RAISED, ""])
def test_what_a_configuration_does_by_itself_is_not_tried_again(bench: Callable[..., Bench], error: str) -> None:
    study = bench()
    conductor = study.open()
    trial = begin(study, conductor)
    conductor.failed(trial.id, error)
    record = conductor.records.trial(trial.id)
    assert (record.state, record.reason) == ("failed", said(error))
    assert record.result["traceback"] == error
    assert record.attempts == ()


def test_a_trial_that_was_told_to_stop_ends_as_it_was_told_however_it_does(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    trial = conductor.next_trial()
    assert trial is not None
    conductor.started(trial.id)
    assert conductor.reported(trial.id, {"epoch": 1, "probe_rung.top1": float("nan")}) is not None
    conductor.failed(trial.id, DIED)
    assert conductor.records.trial(trial.id).state == "diverged"


def test_a_trial_that_had_ended_before_its_process_died_is_not_repeated(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    trial = begin(study, conductor, [0.5, 0.5])
    conductor.records.write_result(trial.id, "collapsed", "its own word")
    conductor.failed(trial.id, DIED)
    assert conductor.records.trial(trial.id).state == "collapsed"
    assert study.sampler.heard[0][0] == "failed"


def test_a_folder_that_cannot_be_written_harms_its_own_trial_alone_which_goes_on_later(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = bench()
    conductor = study.open()
    trial = begin(study, conductor)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "x")

    with monkeypatch.context() as context:
        context.setattr("hjepa.search.records.write_json", refuse)
        conductor.failed(trial.id, RAISED)
    assert study.seen.states[trial.id][-1] == "failed"
    study.finish(conductor, lambda trial: 0.5)
    assert conductor.finished
    study.finish(study.open(), lambda trial: 0.5)
    assert [trial.state for trial in StudyRecords.open(study.directory).trials()] == ["completed"] * 2


def test_less_memory_is_the_same_trial_with_half_the_images_a_pass(bench: Callable[..., Bench], tmp_path: Any) -> None:
    study = bench(base={"optim.batch_size": 48})
    conductor = study.open()
    trial = begin(study, conductor)
    before = conductor.config(trial)
    for micro in (24, 12):
        conductor.failed(trial.id, MEMORY)
        record = begin(study, conductor)
        config = conductor.config(record)
        assert (record.micro_batch, config.runtime.micro_batch, config.optim.batch_size) == (micro, micro, 48)
        assert identity(config, "data") == identity(before, "data")
        assert config == before.model_copy(update={"runtime": before.runtime.model_copy(update={"micro_batch": micro})})
    assert record.retried == "tried 3 times: out_of_memory at epoch 0, out_of_memory at epoch 0; 12 images a pass"
    assert facts(record)["hjepa.micro_batch"] == "12"
    study.execute(conductor, record, [0.5] * 3)
    (tmp_path / "study" / "trials" / record.id / "result.json").write_text(
        '{"state": "completed", "environment": {"device": "cpu"}, "metrics": {}}'
    )
    assert export(conductor.records, conductor.records.trial(record.id), tmp_path / "x.yaml").runtime.micro_batch == 12


@pytest.mark.parametrize(
    ("settings", "workers", "found"),
    [
        ({}, 1, 128),
        ({}, 2, 64),
        ({"batch_size": 97}, 1, 1),
        ({"batch_size": 250}, 1, 125),
        ({"batch_size": 250, "micro_batch": 125}, 1, 50),
        ({"micro_batch": 1}, 1, "no fewer than 1 images a pass"),
        ({"batch_size": 50, "mixup": 0.5}, 1, 10),
        ({"batch_size": 6, "micro_batch": 2, "mixup": 0.5}, 1, "no fewer than 2 images a pass"),
        ({"vicreg": 1.0}, 1, "no fewer images a pass with objective.vicreg.weight, which sees the whole batch"),
    ],
)
def test_the_next_smaller_part_of_a_batch(settings: dict[str, Any], workers: int, found: int | str) -> None:
    tree: dict[str, Any] = {"optim": {"batch_size": settings.get("batch_size", 256)}}
    if "micro_batch" in settings:
        tree["runtime"] = {"micro_batch": settings["micro_batch"]}
    if "mixup" in settings:
        tree["views"] = {"mixup": settings["mixup"]}
        tree["objective"] = {"supervised": {"weight": 1.0}}
    if "vicreg" in settings:
        tree["objective"] = {"vicreg": {"weight": settings["vicreg"]}}
        tree["views"] = {"globals": 2}
    config = Config.model_validate(tree)
    assert smaller(config, workers) == found
    if isinstance(found, int):
        Config.model_validate({**tree, "runtime": {"micro_batch": found}})


def test_the_policy_may_change_when_a_study_goes_on(make_study: MakeStudy) -> None:
    before, after = make_study(), make_study(faults={"crash": 7, "hung_after": None})
    assert after.resolved()["faults"]["crash"] == 7
    assert differences(before.resolved(), after.resolved()) == []
    old = {key: value for key, value in before.resolved().items() if key != "faults"}
    assert differences(old, after.resolved()) == []
