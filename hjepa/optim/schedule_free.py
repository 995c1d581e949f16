"""Schedule-Free AdamW, and when its weights are the averaged ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from schedulefree import AdamWScheduleFree


class ScheduleFreeAdamW(AdamWScheduleFree):  # type: ignore[misc]
    """The library's optimiser, whose modes undo each other to the bit.

    In training mode a parameter holds y, where gradients are taken; in evaluation mode x, the average.
    The library finds one from the other by an interpolation that rounds. Here evaluation mode keeps y
    in the optimiser's state, so that neither a probe nor a checkpoint moves the training, and a
    checkpoint written in evaluation mode holds x as weights and y beside them. A moving-average target
    follows y, the weights at hand after a step (x would cost two interpolations a step).
    Source: Defazio et al. 2024 (arXiv 2405.15682), library `schedulefree`.
    """

    @torch.no_grad()
    def eval(self) -> None:
        """From y to x."""
        for group in self.param_groups:
            if group["train_mode"]:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        self.state[p]["y"] = p.clone()
        super().eval()

    @torch.no_grad()
    def train(self) -> None:
        """From x back to y."""
        super().train()
        for group in self.param_groups:
            for p in group["params"]:
                if "y" in self.state[p]:
                    p.copy_(self.state[p].pop("y"))


@contextmanager
def averaged(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Inside, the optimiser's parameters are those to evaluate and to keep; after it, those to train on."""
    if not isinstance(optimiser, ScheduleFreeAdamW):
        yield
        return
    optimiser.eval()
    try:
        yield
    finally:
        optimiser.train()


def restore(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Continue from a state that was saved inside `averaged`, with the weights of that moment in place."""
    optimiser.load_state_dict(dict(state))
    if isinstance(optimiser, ScheduleFreeAdamW):
        optimiser.train()
