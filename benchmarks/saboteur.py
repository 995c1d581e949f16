"""Puts faults into the trials of a real study: `hjepa-search` with a saboteur in each trial's process.

`python -m benchmarks.saboteur run study.yaml --output out`, with FAULTS and DONE in the environment: a trial whose seed
FAULTS names suffers that fault in its second or third epoch. `benchmarks/faults.py` is the one who uses it.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from hjepa.cli.search import main
from hjepa.models import Outputs
from hjepa.search.execution import runner
from hjepa.search.execution.order import Order
from hjepa.search.execution.trainable import run_order
from hjepa.training.draws import Draws
from hjepa.training.step import TrainStep

#: Variables: JSON, seed -> fault; a folder in which what happens once leaves a file.
FAULTS, DONE = "HJEPA_SABOTAGE", "HJEPA_SABOTAGE_DONE"
MORTAL = "HJEPA_SABOTAGE_MORTAL"
#: A simulated accelerator holds so much of what one pass of the whole batch keeps for its backward pass.
SHARE = 0.35
#: Bytes that a trial may still take of the machine's memory before it is refused more, and at a time.
ROOM, BITE = 2**30, 2**28
#: Steps of an epoch.
EPOCH = 2
_DROP_BOUND, _OVERRIDE, _SEARCH = 24, 1, 2


class Saboteur:
    """One trial's fault, acting before each training step."""

    def __init__(self, order: Order) -> None:
        config = order.parsed()
        self.fault = json.loads(os.environ[FAULTS]).get(str(config.seed))
        self.folder = Path(order.directory)
        self.batch = config.optim.batch_size
        self._done = Path(os.environ[DONE]) / order.id

    def before(self, step: TrainStep, number: int) -> None:
        """Do it, where its time has come."""
        act: Callable[[], None] | None = getattr(self, str(self.fault), None)
        if self.fault == "collapses":
            with torch.no_grad():
                for weight in step.model.parameters():
                    weight.zero_()
        elif self.fault == "nan" and number == EPOCH + 1:
            with torch.no_grad():
                next(iter(step.model.trainable().values())).fill_(torch.nan)
        elif act is not None and number == EPOCH + 1 and (self.fault == "raises" or self._first()):
            act()
        elif self.fault == "loses_checkpoint" and number == 2 * EPOCH + 1 and self._first():
            cut(self.folder / "checkpoint.pt", 0.5)
            self.killed()

    def _first(self) -> bool:
        if self._done.exists():
            return False
        self._done.touch()
        return True

    def killed(self) -> None:
        """The process is gone, as by the kernel's hand."""
        os.kill(os.getpid(), signal.SIGKILL)

    def raises(self) -> None:
        """The same each time."""
        raise ValueError("the trial's own fault")

    def eats(self) -> None:
        """All the memory that its process may have."""
        limits = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limits[1]))
        try:
            eaten = [torch.ones(BITE, dtype=torch.uint8) for _ in range(2 * ROOM // BITE)]
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
        raise AssertionError(f"{len(eaten)} bites were allowed")

    def devours(self) -> None:
        """The machine's memory, until Ray ends the process."""
        eaten = []
        while len(eaten) < 16 * ROOM // BITE:
            eaten.append(torch.ones(BITE, dtype=torch.uint8))
            time.sleep(0.2)
        raise AssertionError(f"{len(eaten)} bites were allowed")

    def hangs(self) -> None:
        """For ever."""
        while True:
            time.sleep(1)

    def stopped(self) -> None:
        """The process answers nobody any more."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def loses_record(self) -> None:
        """Both files of its record are cut off while it runs."""
        for name in ("trial.json", "result.json"):
            cut(self.folder / name, 0.3)

    def read_only(self) -> None:
        """Its folder can no longer be written."""
        self.folder.chmod(0o555)

    def remember(self, outputs: Callable[..., Outputs]) -> Callable[..., Outputs]:
        """What a pass keeps for its backward pass is counted, and too much is refused, as a full accelerator would."""

        def limited(step: TrainStep, images: Tensor, draws: Draws, rows: slice) -> Outputs:
            if self.fault != "memory":
                return outputs(step, images, draws, rows)
            limit = float(self._done.read_text()) if self._done.exists() else torch.inf
            kept = 0

            def keep(tensor: Tensor) -> Tensor:
                nonlocal kept
                kept += tensor.numel() * tensor.element_size()
                if kept > limit:
                    raise torch.OutOfMemoryError(f"simulated: {kept:,} bytes kept, of {limit:,.0f}")
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                found = outputs(step, images, draws, rows)
            if limit == torch.inf:
                assert len(images) == self.batch
                self._done.write_text(str(SHARE * kept))
                raise torch.OutOfMemoryError(f"simulated: {kept:,} bytes kept, of {SHARE * kept:,.0f}")
            return found

        return limited


def sabotaged(packed: dict[str, Any]) -> None:
    """`run_order` with its trial's fault."""
    saboteur = Saboteur(Order.unpack(packed))
    step = TrainStep.__call__

    def call(self: TrainStep, images: Tensor, number: int, **flags: Any) -> dict[str, Tensor | float]:
        saboteur.before(self, number)
        return step(self, images, number, **flags)

    with (
        mock.patch.object(TrainStep, "__call__", call),
        mock.patch.object(TrainStep, "outputs", saboteur.remember(TrainStep.outputs)),
    ):
        run_order(packed)


def cut(path: Path, share: float) -> None:
    """Leave this share of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def mortal() -> None:
    """Obey the modes of files, also as root: once more from the start, without the right to ignore them."""
    if os.environ.setdefault(MORTAL, "not yet") == "not yet":
        os.environ[MORTAL] = "now"
        for capability in (_OVERRIDE, _SEARCH):
            ctypes.CDLL(None).prctl(_DROP_BOUND, capability, 0, 0, 0)
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.saboteur", *sys.argv[1:]])


if __name__ == "__main__":
    mortal()
    from benchmarks import saboteur  # by its name, as its trials' processes import it

    runner.run_order = saboteur.sabotaged  # type: ignore[attr-defined]
    main()
