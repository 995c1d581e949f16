"""A signal or a spent budget is a request to stop; the second signal ends the process; handlers are put back."""

import os
import signal
import socket
import time
import types

import pytest

from hjepa.search.execution import session
from hjepa.search.execution.interruption import Interruption, RayLost, StopStudy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        with pytest.raises(StopStudy, match=f"stopped by {number.name}"):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_signals_can_be_taken_back_from_a_library() -> None:
    with Interruption() as interruption:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interruption.arm()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.by_signal == "stopped by SIGTERM"


def test_the_hours_end_a_study_without_a_signal() -> None:
    interruption = Interruption(hours=1e-9)
    time.sleep(0.01)
    assert interruption.reason == "the budget of 1e-09 hours is spent"
    assert interruption.by_signal is None
    assert Interruption(hours=1.0).reason is None


def test_no_except_clause_for_failures_swallows_it() -> None:
    assert not issubclass(StopStudy, Exception)


def test_a_study_whose_ray_has_died_ends_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, nodes = [0.0], [{"Alive": True}, {"Alive": False}]
    monkeypatch.setattr(session.ray, "nodes", lambda: nodes)
    pulse = session.Pulse(print, now=lambda: clock[0])
    nodes[0]["Alive"] = False
    pulse.check()
    clock[0] = session.LOOK
    with pytest.raises(RayLost, match="no node of it is left; every trial that ended is kept"):
        pulse.check()
    nodes[1]["Alive"] = True
    clock[0] += session.LOOK
    pulse.check()


def test_a_head_that_has_died_is_said_while_whatever_asks_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def nodes() -> None:
        raise AssertionError("nobody may ask a dead head: he would wait")

    said: list[str] = []
    monkeypatch.setattr(session, "LOOK", 0.02)
    monkeypatch.setattr(session, "SILENCE", 0.2)
    monkeypatch.setattr(session.ray, "nodes", nodes)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        context = types.SimpleNamespace(gcs_address=address)
        monkeypatch.setattr(session.ray, "get_runtime_context", lambda: context)
        pulse = session.Pulse(said.append, now=lambda: 0.0)
        with pulse.watching():
            time.sleep(0.3)
            pulse.check()
            head.close()
            deadline = time.monotonic() + 30
            while not said and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(RayLost, match=f"its head at {address} does not answer"):
                pulse.check()
    assert said == [
        f"Ray has died: its head at {address} does not answer; every trial that ended is kept, "
        "and the same command goes on"
    ]
