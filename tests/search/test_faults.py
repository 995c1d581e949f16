"""Whatever befalls a trial in a real study on Ray, the others go on, nothing that was trained is lost, and the user is
told: the table of `benchmarks/faults.py`, but for what takes it longest."""

import re
from pathlib import Path

import pytest

from benchmarks import faults as benchmark
from hjepa.search.records import StudyRecords
from hjepa.search.reports.report import report

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

FAULTS = (
    *("none", "killed", "raises", "nan", "collapses", "memory", "eats", "stopped"),
    *("loses_checkpoint", "loses_record"),
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, str, str]]:
    """Fault -> its row of the table; and the read-only folder, which is made writable again."""
    folder = tmp_path_factory.mktemp("faults")
    study = benchmark.Study(folder / "study", dict(enumerate([*FAULTS, "read_only"])))
    ran = study.run()
    assert ran.code == 0, ran.err
    rows = dict(zip(study.faults.values(), benchmark.table(study, ran, folder), strict=True))
    (folder / "report").write_text(report(StudyRecords.open(study.directory), "table") + ran.err)
    broken = study.trials()["read_only"]
    broken.directory.chmod(0o755)
    ran = study.run()
    assert ran.code == 0, ran.err
    trial = study.trials()["read_only"]
    rows["writable"] = (broken.id, trial.state, benchmark.lost(trial, folder / "read_only"), ran.err)
    rows["report"] = ("", "", "", (folder / "report").read_text())
    return rows


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost(rows: dict[str, tuple[str, str, str, str]], fault: str) -> None:
    _, state, lost, _ = rows[fault]
    assert state == benchmark.STATES.get(fault, "completed")
    assert lost.startswith("nothing"), lost


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("killed", r"its process died: .*; tried 2 times: crash at epoch 1"),
        ("raises", r"ValueError: the trial's own fault"),
        ("nan", r"the loss is nan at step 3"),
        ("collapses", r"features\.effective_rank 0 is below"),
        ("memory", r"simulated: .*tried 3 times: out_of_memory at epoch 0, out_of_memory at epoch 0; 12 images a pass"),
        ("eats", r"t allocate memory: .*; tried 2 times: out_of_memory at epoch 1; 24 images a pass"),
        ("stopped", r"hung: silent for \d+ s; .* takes .*; tried 2 times: hung at epoch 1"),
        ("loses_checkpoint", r"tried 2 times: crash at epoch 2.*begun again from epoch 0, as its checkpoint was set"),
        ("loses_record", r"warning: .*trial\.json: not readable .*; set aside as trial\.json\.corrupt"),
        ("read_only", r"cannot be written; the same command goes on with this trial"),
    ],
)
def test_the_user_is_told(rows: dict[str, tuple[str, str, str, str]], fault: str, said: str) -> None:
    assert re.search(said, rows[fault][3])


def test_a_folder_that_can_be_written_again_is_gone_on_with(rows: dict[str, tuple[str, str, str, str]]) -> None:
    trial, state, lost, err = rows["writable"]
    assert rows["read_only"][1] == "interrupted"
    assert (state, lost[:7]) == ("completed", "nothing")
    assert f"{trial}  baseline  completed" in err


def test_the_report_says_what_was_tried_again(rows: dict[str, tuple[str, str, str, str]]) -> None:
    assert "tried 2 times: hung at epoch 1" in rows["report"][3]
    assert "12 images a pass" in rows["report"][3]


@pytest.mark.skipif(benchmark.available() < 3 * benchmark.FREE, reason=f"needs {3 * benchmark.FREE:,} bytes of memory")
def test_a_trial_that_rays_memory_monitor_ends_is_tried_again(tmp_path: Path) -> None:
    ((_, state, lost, said),) = benchmark.devoured(tmp_path / "memory")
    assert (state, lost[:7]) == ("completed", "nothing")
    assert re.search(
        r"ended by Ray, as the machine was low on memory: .*; tried 2 times: out_of_memory at epoch 1", said
    )
