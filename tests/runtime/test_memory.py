"""Claim: the peak of memory is that of one run, also where a process has run others before it; where a system cannot
tell it, nothing is said rather than another run's."""

import mmap
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hjepa.runtime import memory
from hjepa.runtime.memory import PeakMemory
from hjepa.search.execution import runner
from hjepa.search.plan import make_plan
from hjepa.search.study import Study

MIB = 2**20


def use(size: int) -> None:
    """Hold so many bytes for a moment."""
    with mmap.mmap(-1, size) as held:
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1


@pytest.mark.skipif(not memory._cleared(), reason="this system cannot begin to count anew")
def test_a_small_run_after_a_large_one_has_its_own_peak() -> None:
    peak = PeakMemory()
    found = []
    for size in (300 * MIB, 100 * MIB, 200 * MIB):
        peak.forget()
        before = peak.bytes()
        use(size)
        after = peak.bytes()
        assert before is not None
        assert after is not None
        found.append(after - before)
    assert found == pytest.approx([300 * MIB, 100 * MIB, 200 * MIB], abs=30 * MIB)


@pytest.mark.parametrize("lacking", ["CLEAR", "both"])
def test_where_it_cannot_be_counted_anew_only_a_higher_peak_is_a_run_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: str
) -> None:
    peaks = iter([500, 500, 500, 500, 800])
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "none" / "clear_refs")
    if lacking == "both":
        monkeypatch.setattr(memory, "STATUS", tmp_path / "none" / "status")
    assert not memory._cleared()
    assert memory._peak() > 10 * MIB, "a process has a peak everywhere"
    monkeypatch.setattr(memory, "_peak", lambda: next(peaks))
    peak = PeakMemory()
    peak.forget()
    assert peak.bytes() == 500, "of the first run it is the process's"
    peak.forget()
    assert peak.bytes() is None
    peak.forget()
    assert peak.bytes() == 800


def test_a_system_that_forgets_but_does_not_say_is_no_such_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  12 kB\n")
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "clear_refs")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    assert not memory._cleared()
    assert memory._peak() > 10 * MIB


@pytest.mark.parametrize(
    ("keys", "judged"),
    [
        ({}, False),
        ({"constraints": {"parameters": "< 3e6"}}, False),
        ({"constraints": {"memory": "< 8 GB"}}, True),
        ({"objective": [{"metric": "probe.top1"}, {"metric": "memory", "mode": "min"}]}, True),
    ],
)
def test_trials_share_a_process_unless_its_memory_is_judged(tmp_path: Path, keys: dict[str, Any], judged: bool) -> None:
    tree = {"study": "t", "budget": {"trials": 2}, "space": {"optim.lr": {"uniform": [0.1, 0.2]}}, **keys}
    study = Study.parse(tree, tmp_path / "study.yaml")
    plan = make_plan(study, tmp_path, {"CPU": 2.0})
    assert runner._reused(plan) == (not judged)
    assert runner._reused(replace(plan, gpus=1.0)) == (not judged or sys.platform != "darwin")
