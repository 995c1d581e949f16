"""`train`: a Config and a directory -> a result."""

from pathlib import Path
from typing import Any

import torch

from hjepa.config import Config
from hjepa.overrides import identity
from hjepa.runtime.environment import environment
from hjepa.runtime.files import write_json
from hjepa.runtime.memory import PeakMemory
from hjepa.training.build import Run, build
from hjepa.training.files import SCHEMA_VERSION
from hjepa.training.loop import Collapsed, Diverged, Loop, Stopped
from hjepa.training.reporter import Progress, Reporter, Silent

FULL, RUNG = "probe.top1", "probe_rung.top1"
#: This process's: a worker trains one trial after another.
_MEMORY = PeakMemory()


def train(
    config: Config,
    directory: Path,
    *,
    reporter: Reporter | None = None,
    resume: bool = False,
    test: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Pretrain and probe; write the run's files into `directory`; return what result.json holds.

    resume continues from the directory's checkpoint when there is one; one that cannot be read is set aside where
    a reporter is given, and the run begins again. test also scores the test
    split, once, at a completed end, into test.json. Ends in one state: completed, early_stopped,
    diverged, collapsed or out_of_memory; KeyboardInterrupt writes `interrupted` and is raised again, and so is
    torch.OutOfMemoryError where a reporter is given: whoever it reports to may try again with less at once.
    Raises ConfigError when the configuration cannot run here; nothing is written then.
    """
    run = build(config)
    forget_peak(run)
    loop = Loop(run, directory.absolute(), reporter or Silent(), progress or Silent())
    if reporter is not None:
        loop.reporter = _Recorded(loop, reporter)
    if resume:
        loop.resume(anew=reporter is not None)
    elif run.workers.first:
        (loop.directory / "result.json").unlink(missing_ok=True)
    try:
        state, reason = _run(loop, end_for_memory=reporter is None)
    except KeyboardInterrupt:
        _finish(loop, "interrupted", "interrupted; its last checkpoint continues it")
        raise
    finally:  # SystemExit is Ray ending the function from outside: the driver knows the state
        if loop.metrics is not None:
            loop.metrics.close()
        loop.reporter = Silent()  # it holds the loop: a circle that would keep a trial's memory while the next one runs
    if test and state == "completed" and run.workers.first:
        with loop.final_encoder() as encoder:
            write_json(loop.directory / "test.json", run.evaluator.test(encoder))
    return _finish(loop, state, reason or loop.begun_again)


class _Recorded:
    """Brings result.json up to date before each report: what a run leaves that is ended from outside."""

    def __init__(self, loop: Loop, reporter: Reporter) -> None:
        self.loop, self.reporter = loop, reporter

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Write, then report."""
        _finish(self.loop, "running", None)
        return self.reporter.report(metrics, checkpoint)


def _finish(loop: Loop, state: str, reason: str | None) -> dict[str, Any]:
    """Write result.json, unless the run ended before its first file, and return its content."""
    result = _result(loop, state, reason)
    if loop.metrics is not None:
        write_json(loop.directory / "result.json", result)
    return result


def _run(loop: Loop, *, end_for_memory: bool) -> tuple[str, str | None]:
    """The state in which the loop ends, and why."""
    try:
        loop.execute()
    except (Diverged, FloatingPointError) as error:  # the latter from features that are not finite
        return "diverged", str(error)
    except Collapsed as error:
        return "collapsed", str(error)
    except Stopped as error:
        return "early_stopped", str(error)
    except torch.OutOfMemoryError as error:
        if not end_for_memory:
            raise
        return "out_of_memory", str(error).splitlines()[0]
    return "completed", None


def _result(loop: Loop, state: str, reason: str | None) -> dict[str, Any]:
    run: Run = loop.run
    at, last = loop.at, loop.at.last or {}
    metric = FULL if FULL in last else RUNG
    score = None if state == "diverged" else last.get(metric)
    seconds = loop.seconds()
    images = run.batches.seen(at.step)
    return {
        "schema_version": SCHEMA_VERSION,
        "state": state,
        "reason": reason,
        "score": score,
        "metric": metric if score is not None else None,
        "epoch": at.epoch,
        "rung": at.rung,
        "floor": at.floor or {},
        "metrics": last,
        "identity": identity(run.config, run.dataset.fingerprint),
        "data_fingerprint": run.dataset.fingerprint,
        "seed": run.config.seed,
        "seconds": seconds,
        "device_seconds": seconds * run.workers.world,
        "train_seconds": at.train_seconds,
        "probe_seconds": at.probe_seconds,
        "images_per_second": images / at.train_seconds if at.train_seconds else None,
        "peak_memory_bytes": peak_memory(run),
        "parameters": sum(p.numel() for p in run.model.trainable().values()),
        "environment": environment() | run.resolved() | {"workers": run.workers.world},
    }


def forget_peak(run: Run) -> None:
    """Let the peak of memory be this run's: earlier runs of the process may have had a higher one."""
    run.device.forget_peak()
    _MEMORY.forget()


def peak_memory(run: Run) -> int | None:
    """Peak device memory in bytes; on a CPU the peak resident size of this process, None where it is another run's."""
    on_device = run.device.peak_bytes()
    return _MEMORY.bytes() if on_device is None else on_device
