"""Context and target token indices, drawn for a whole batch at once.

Differs from the official I-JEPA collator in what method notes call its pitfalls: scale and aspect
are independent draws, every row and column can be reached, and the context is a random subset of
fixed size instead of the raster-first tokens of the batch's smallest context.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hjepa.config import MasksConfig
from hjepa.overrides import ConfigError, problem, shown
from hjepa.runtime.streams import generator

#: Redraws of the images whose context is too small, before a step gives up.
MAX_ROUNDS = 2000
#: A grid is refused when fewer than this share of draws leave enough context.
MIN_ACCEPTED = 0.05
_TRIALS = 512


@dataclass(frozen=True)
class Masks:
    """Token indices into the level-0 grid (raster order), int64, on the CPU.

    context: [B, K], sorted, distinct within an image; targets: [B, M, T], blocks may overlap each
    other but never the context.
    """

    context: Tensor
    targets: Tensor

    def __getitem__(self, rows: slice) -> "Masks":
        return Masks(self.context[rows], self.targets[rows])

    def to(self, device: torch.device) -> "Masks":
        """The same indices on a device."""
        return Masks(self.context.to(device), self.targets.to(device))


class MaskSampler:
    """Draws `Masks` for a square grid.

    counted: the grid that `masks.context_tokens` counts tokens of (default: this one); another keeps their
    share of it. Raises ConfigError at construction when the grid cannot give the targets or the context asked for.
    Source: I-JEPA (arXiv 2301.08243), section 3; Table 6 for block, random and raster.
    """

    def __init__(self, config: MasksConfig, grid: int, counted: int | None = None) -> None:
        self.config = config
        self.grid = grid
        self.cells = grid * grid
        if config.strategy == "raster" and grid % 2:
            raise ConfigError([problem("masks.strategy", "raster", f"on an even grid; this one is {grid}x{grid}")])
        default = (grid // 2) ** 2 if config.strategy == "raster" else self.cells * 5 // 16
        given = config.context_tokens
        self.context_tokens = max(1, default if given is None else round(given * self.cells / (counted or grid) ** 2))
        self._refuse_impossible()

    def draw(self, batch: int, seed: int, step: int, view: int = 0) -> Masks:
        """Masks for view number `view` of `batch` images; a function of (seed, step, view) alone.

        All views of a step have blocks of one size, so that they can be stacked.
        """
        stream = generator(seed, "masks", step)
        own = generator(seed, "masks", step, view) if view else stream
        if self.config.strategy == "random":
            return self._random(batch, own)
        if self.config.strategy == "raster":
            return self._raster(batch, own)
        return self._blocks(batch, self._sizes(stream), own)

    def _sizes(self, stream: torch.Generator) -> tuple[int, int, int]:
        """Height and width of the target blocks and side of the context block, one for the batch."""
        draws = torch.rand(3, generator=stream).tolist()
        return self._shape(*draws)

    def _shape(self, scale: float, aspect: float, context: float) -> tuple[int, int, int]:
        """Sizes in cells from three positions in [0, 1] of their ranges."""
        area = self.cells * _between(self.config.target_scale, scale)
        ratio = _between(self.config.target_aspect, aspect)
        height = min(max(round((area * ratio) ** 0.5), 1), self.grid)
        width = min(max(round((area / ratio) ** 0.5), 1), self.grid)
        if self.config.strategy == "block":
            return height, width, self.grid
        side = round((self.cells * _between(self.config.context_scale, context)) ** 0.5)
        return height, width, min(max(side, 1), self.grid)

    def _blocks(self, batch: int, sizes: tuple[int, int, int], stream: torch.Generator) -> Masks:
        height, width, _ = sizes
        corners, allowed = self._place(batch, sizes, stream)
        for _ in range(MAX_ROUNDS):
            short = allowed.sum(1) < self.context_tokens
            if not short.any():
                break
            again = self._place(int(short.sum()), sizes, stream)
            corners[short], allowed[short] = again
        else:
            raise RuntimeError(f"no {self.context_tokens} context tokens in {MAX_ROUNDS} draws of {sizes}")
        rows = torch.arange(height).view(-1, 1) + corners[..., 0, None, None]
        columns = torch.arange(width) + corners[..., 1, None, None]
        targets = (rows * self.grid + columns).flatten(2)
        return Masks(_subset(allowed, self.context_tokens, stream), targets)

    def _place(self, batch: int, sizes: tuple[int, int, int], stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Corners of the target blocks [B, M, 2] and the cells the context may use [B, cells]."""
        height, width, side = sizes
        count = self.config.num_targets if self.config.strategy == "multiblock" else 1
        draws = torch.rand(batch, count + 1, 2, generator=stream)
        room = torch.tensor([self.grid - height + 1, self.grid - width + 1])
        corners = (draws[:, :count] * room).long()
        covered = self._rectangles(corners, height, width).any(1)
        start = (draws[:, count:] * (self.grid - side + 1)).long()
        context = self._rectangles(start, side, side)[:, 0]
        return corners, (context & ~covered).flatten(1)

    def _rectangles(self, corners: Tensor, height: int, width: int) -> Tensor:
        """Boolean maps [B, M, g, g] of the blocks at these corners."""
        cell = torch.arange(self.grid)
        top, left = corners[..., 0, None], corners[..., 1, None]
        rows = (cell >= top) & (cell < top + height)
        columns = (cell >= left) & (cell < left + width)
        return rows[..., :, None] & columns[..., None, :]

    def _random(self, batch: int, stream: torch.Generator) -> Masks:
        order = torch.rand(batch, self.cells, generator=stream).argsort(1)
        count = self._random_targets()
        context = order[:, count : count + self.context_tokens].sort(1).values
        return Masks(context, order[:, :count].sort(1).values.unsqueeze(1))

    def _random_targets(self) -> int:
        return max(1, round(self.cells * self.config.target_ratio))

    def _raster(self, batch: int, stream: torch.Generator) -> Masks:
        half = self.grid // 2
        block = (torch.arange(half).view(-1, 1) * self.grid + torch.arange(half)).flatten()
        quadrants = torch.stack([block + (q // 2 * self.grid + q % 2) * half for q in range(4)])
        chosen = torch.randint(4, (batch,), generator=stream)
        others = torch.arange(3).expand(batch, 3)
        others = others + (others >= chosen.unsqueeze(1))
        allowed = torch.zeros(batch, self.cells, dtype=torch.bool).scatter_(1, quadrants[chosen], True)
        return Masks(_subset(allowed, self.context_tokens, stream), quadrants[others])

    def _refuse_impossible(self) -> None:
        """Raise ConfigError where the context asked for is not left often enough."""
        limit = self._most_context()
        if limit < self.context_tokens:
            where = f"on the {self.grid}x{self.grid} grid with strategy {self.config.strategy}"
            given = self.config.context_tokens
            got = shown(given) + ("" if given == self.context_tokens else f" (= {self.context_tokens})")
            if limit < 1:
                raise ConfigError(
                    [f"masks: got targets that leave no context {where}; allowed smaller or fewer targets"]
                )
            raise ConfigError([f"masks.context_tokens: got {got}; allowed at most {limit} {where}"])

    def _most_context(self) -> int:
        """The most context tokens that the least favourable block sizes still leave often enough."""
        if self.config.strategy == "random":
            return self.cells - self._random_targets()
        if self.config.strategy == "raster":
            return (self.grid // 2) ** 2
        worst = self.cells
        stream = generator(0, "masks.check")
        for scale, aspect in ((1.0, 0.0), (1.0, 0.5), (1.0, 1.0)):
            _, allowed = self._place(_TRIALS, self._shape(scale, aspect, 0.0), stream)
            counts = allowed.sum(1).sort(descending=True).values
            worst = min(worst, int(counts[int(_TRIALS * MIN_ACCEPTED)]))
        return worst


def _between(bounds: tuple[float, float], position: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * position


def _subset(allowed: Tensor, count: int, stream: torch.Generator) -> Tensor:
    """`count` random allowed cells of each row of a boolean map [B, cells], sorted."""
    keys = torch.rand(allowed.shape, generator=stream).masked_fill_(~allowed, -1.0)
    return keys.topk(count, dim=1).indices.sort(1).values
