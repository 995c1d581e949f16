"""Fields at their declared alternatives in one configuration: what else they need, and whether they train together.

Some 10,000 pairs are tried in a sixth as many runs: fields that the configuration accepts together share a run, few
at a time, so that hardly a third field hides what two do to each other; a run that breaks is taken apart into pairs.
"""

import functools
import itertools
import math
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hjepa.config import Config
from hjepa.config.fields import holds
from hjepa.data import open_dataset
from hjepa.overrides import ConfigError, Layer, knobs, resolve, values_of
from hjepa.training import Run, build, check
from tests import small_data
from tests.effect_gate import enable

#: The defaults, but small; image, patch and levels, which constrain other fields, stay as they are.
BASE: dict[str, Any] = {
    "data.train_size": 64,
    "model.size": None,
    "model.width": 16,
    "model.depth": 2,
    "model.heads": 2,
    "predictor.width": 16,
    "predictor.depth": 1,
    "predictor.heads": 2,
    "optim.batch_size": 8,
    "training.epochs": 2,
    "runtime.device": "cpu",
    "runtime.precision": "fp32",
    "runtime.threads": 1,
}
#: Most fields that are tried in one run: each pair is seen in the company of so few others.
COMPANY = 5

REFUSED = ": refused: "

Group = tuple[str, ...]


def accuracy_fields() -> list[str]:
    """Every field that may change a score, in schema order."""
    return [path for path, knob in knobs().items() if knob.effect in ("training", "evaluation")]


def settings(group: Iterable[str], *, alone: bool = False) -> dict[str, Any]:
    """What gives each field its alternative, with all that makes it live; the fields' own values stand.

    alone: without what else is to change with a field. Where two fields want different things of a
    third, the settings hold one of them, and the configuration is to refuse it.
    """
    wanted = {path: knobs()[path].flip for path in group}
    chosen = dict(wanted)
    if not alone:
        for path in wanted:
            _add_companions(path, chosen)
    demands: dict[str, list[Any]] = {}
    pending = list(chosen)
    while pending:
        for path, allowed in knobs()[pending.pop()].when.items():
            demands.setdefault(path, []).append(allowed)
            now = chosen.get(path, BASE.get(path, knobs()[path].default))
            value = _fitting(path, demands[path], now)
            if path in wanted or value is now:
                continue
            chosen[path] = value
            pending += [path, *_add_companions(path, chosen)]
    return chosen


def _add_companions(path: str, chosen: dict[str, Any]) -> list[str]:
    """Add what must change with a field's value, where nothing is chosen yet; the paths added."""
    new = {name: value for name, value in enable(path, chosen[path]).items() if name not in chosen}
    chosen |= new
    return list(new)


def _fitting(path: str, demands: list[Any], now: Any) -> Any:
    """A value that all conditions allow, the present one first; the present one where there is none."""
    knob = knobs()[path]
    listed = [value for allowed in demands if not isinstance(allowed, str) for value in allowed]
    options = [now, knob.flip, knob.default, *listed]
    return next((value for value in options if all(holds(value, allowed) for allowed in demands)), now)


def configured(group: Iterable[str], *, alone: bool = False) -> Config:
    """The configuration with these fields at their alternatives. Raises ConfigError."""
    config = resolve([Layer("base", BASE), Layer("pair", settings(group, alone=alone))])
    check(config)
    return config


def refusal(pair: Group) -> list[str]:
    """Why the configuration refuses the pair, shortest form; nothing when it does not."""
    shortest: list[str] = []
    for alone in (False, True):
        try:
            configured(pair, alone=alone)
        except ConfigError as error:
            shortest = min([shortest or error.problems, error.problems], key=len)
        else:
            return shortest
    return shortest


def groups(pairs: Sequence[Group]) -> Iterator[Group]:
    """Groups of at most COMPANY fields that the configuration accepts together, such that each pair is in one."""
    fields, left, order = accuracy_fields(), dict.fromkeys(pairs), list(knobs())
    while left:
        group: Group = next(iter(left))
        while len(group) < COMPANY:
            new = {path: sum(_pair(path, other) in left for other in group) for path in fields if path not in group}
            best = sorted((path for path in new if new[path]), key=lambda path: -new[path])
            added = next((path for path in best if _accepted((*group, path))), None)
            if added is None:
                break
            group = (*group, added)
        group = tuple(sorted(group, key=order.index))
        for pair in itertools.combinations(group, 2):
            left.pop(pair, None)
        yield group


@functools.cache
def _pair(one: str, other: str) -> Group:
    order = list(knobs())
    return (one, other) if order.index(one) < order.index(other) else (other, one)


def _accepted(group: Group) -> bool:
    try:
        values = values_of(configured(group))
    except ConfigError:
        return False
    return all(values[path] == knobs()[path].flip for path in group)


def start(folder: Path) -> None:
    """Make this process one that examines groups, on the data in the folder."""
    patch = pytest.MonkeyPatch()  # for as long as the process lives
    small_data.use(folder, patch)
    patch.setattr(sys.modules["hjepa.training.build"], "open_dataset", functools.cache(open_dataset))


def examined(group: Group) -> list[str]:
    """The pairs of a group that neither train two steps nor are refused in one line, each with what happens."""
    found = fault(group)
    if found is None or len(group) == 2:
        return [found] if found else []
    alone = [fault(pair) for pair in itertools.combinations(group, 2)]
    three = [] if REFUSED in found else [found]  # what three fields cannot have together, is no pair's matter
    return [text for text in alone if text] or three


def fault(group: Group) -> str | None:
    """What is wrong when a group trains; None when it trains, or a pair is refused in one line."""
    named = " with ".join(group)
    try:
        run = build(configured(group))
        losses = [_step(run, step) for step in (1, 2)]
    except ConfigError as error:
        return None if len(group) == 2 and one_reason(error.problems) else f"{named}{REFUSED}{error}"
    except Exception:  # noqa: BLE001  whatever it is, it is the pair's
        return f"{named}: {traceback.format_exc(limit=-3)}"
    return None if all(map(math.isfinite, losses)) else f"{named}: losses {losses}"


def one_reason(problems: Sequence[str]) -> bool:
    """Whether a refusal is one line; or several fields, all for the same reason."""
    return len({line.partition("; ")[2] for line in problems}) == 1 and all("\n" not in line for line in problems)


def _step(run: Run, step: int) -> float:
    rows = np.arange(run.batches.size(step))
    source = run.dataset.train
    (images,) = source.batches([rows])
    labels = torch.from_numpy(source.labels[rows]) if run.model.wants.classes is not None else None
    run.model.train()
    return float(run.step(images, step, labels=labels)["loss"])
