"""How strongly each term of the objective pulls at the encoder."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hjepa.training.workers import Workers

#: How the norms are named in a step's report.
GRADIENT = "encoder_gradient."


class TermGradients:
    """The gradient of each weighted term on the encoder, over the parts of a step.

    Terms differ by orders of magnitude; their weights cannot be chosen by the losses' size (method F.4).
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.parameters = [p for p in encoder.parameters() if p.requires_grad]
        self.sums: dict[str, list[Tensor]] = {}

    def add(self, weighted: Mapping[str, Tensor]) -> None:
        """Take the terms of one part of the batch; their graph stays for the backward pass of the total."""
        for name, loss in weighted.items():
            found = torch.autograd.grad(loss, self.parameters, retain_graph=True, materialize_grads=True)
            known = self.sums.get(name)
            self.sums[name] = list(found) if known is None else list(torch._foreach_add(known, found))

    def norms(self, workers: Workers) -> dict[str, Tensor]:
        """The norm of each term's gradient for the whole batch."""
        flat = {name: torch.cat([part.flatten() for part in parts]) for name, parts in self.sums.items()}
        return {f"{GRADIENT}{name}": workers.total(each).norm() for name, each in flat.items()}
