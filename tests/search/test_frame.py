"""`hjepa.search.load` gives one row a trial and epoch, with settings and metrics as columns, and costs no engine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hjepa.search
from hjepa.overrides import ConfigError
from tests.tracked import Enter, MakeStudy, make_records


def test_one_row_a_trial_and_epoch(make_study: MakeStudy, enter: Enter, tmp_path: Path) -> None:
    records = make_records(make_study, enter, tmp_path / "study")
    first, stopped = records.trials()[0], records.trials()[1]
    study = make_study(base=records.spec["base"])
    waiting = enter(records, study, 5, {"optim.lr": 0.009})
    copy = enter(records, study, 6, {"optim.lr": 0.01})
    records.mark(copy.id, duplicate_of=first.id)
    records.write_result(copy.id, "duplicate", "the same")

    table = hjepa.search.load(records.directory)
    assert not table.duplicated(["trial", "epoch"]).any()
    rows = table[table.trial == first.id]
    assert list(rows.epoch) == [1, 2, 3, 4]
    assert list(rows.loss) == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert list(rows["probe_rung.top1"]) == [0.5] * 4
    assert list(rows["probe.top1"].dropna()) == [0.5], "the full probe, at its epoch"
    assert set(rows.state) == {"completed"}
    assert set(rows.score) == {0.5}
    assert list(rows.step) == [10, 20, 30, 40]

    (row,) = table[table.trial == stopped.id].to_dict("records")
    assert (row["state"], row["epoch"], row["optim.lr"], row["cell"]) == ("early_stopped", 1, 0.002, "c1")
    assert rows["optim.lr"].isna().all(), "the baseline sets nothing"
    (row,) = table[table.trial == waiting.id].to_dict("records")
    assert row["state"] == "pending"
    assert table[table.trial == waiting.id].epoch.isna().all()
    assert list(table[table.trial == copy.id].loss) == list(rows.loss), "a duplicate's curve is its original's"
    best = table.dropna(subset="probe.top1").sort_values("probe.top1").iloc[-1]
    assert best.trial == records.trials()[4].id


def test_a_torn_line_is_left_out(make_study: MakeStudy, enter: Enter, tmp_path: Path) -> None:
    records = make_records(make_study, enter, tmp_path / "study")
    with (records.trials()[0].directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "step"}) + '\n{"kind": "ru')
    assert len(hjepa.search.load(str(records.directory))) == 11


def test_no_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        hjepa.search.load(tmp_path / "nowhere")


def test_the_package_itself_is_light() -> None:
    code = "import sys, hjepa.search; print([n for n in ('torch', 'mlflow', 'pandas', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
