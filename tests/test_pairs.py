"""Any two fields that may change a score, each at its declared alternative, train two steps together, or the
configuration refuses them in one line that says why."""

import itertools
import multiprocessing
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from hjepa.overrides import knobs, values_of
from hjepa.training import Run
from tests import pairs, small_data

pytestmark = pytest.mark.slow

PROCESSES = 2
Refusals = Mapping[pairs.Group, list[str]]


@pytest.fixture(scope="module")
def refusals() -> Refusals:
    """Every pair of fields, with the lines by which the configuration refuses it."""
    return {pair: pairs.refusal(pair) for pair in itertools.combinations(pairs.accuracy_fields(), 2)}


def test_a_refused_pair_is_told_why_in_one_line(refusals: Refusals) -> None:
    for pair, lines in refusals.items():
        if lines:
            assert pairs.one_reason(lines), f"{pair}: {lines}"
            assert all("; " in line for line in lines), f"{pair}: {lines}"


def test_few_pairs_are_refused(refusals: Refusals) -> None:
    """Else the next test shows little."""
    refused = Counter(path for pair, lines in refusals.items() if lines for path in pair)
    assert sum(refused.values()) / 2 < 0.05 * len(refusals)
    fields = pairs.accuracy_fields()
    assert not [path for path in fields if refused[path] > len(fields) / 2]


def test_what_is_not_refused_is_at_its_alternative(refusals: Refusals) -> None:
    for pair, lines in refusals.items():
        values = {} if lines else values_of(pairs.configured(pair))
        assert all(value == knobs()[path].flip for path, value in values.items() if path in pair), pair


@pytest.mark.timeout(900)
def test_every_other_pair_trains_two_steps(refusals: Refusals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = [pair for pair, lines in refusals.items() if not lines]
    groups = list(pairs.groups(accepted))
    tried = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
    assert {frozenset(pair) for pair in accepted} <= tried
    small_data.lay_out(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, initializer=pairs.start, initargs=(tmp_path,)) as pool:
        found = [text for texts in pool.map(pairs.examined, groups, chunksize=16) for text in texts]
    assert not found, f"{len(found)} of {len(accepted)} pairs:\n" + "\n".join(found[:20])


def test_a_pair_that_breaks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug of two fields together, in a run with others."""

    def step(run: Run, number: int) -> float:
        config = run.config
        if config.model.layer_scale is not None and config.predictor.blocks == "joint":
            raise ZeroDivisionError("planted")
        return float("nan") if config.model.drop_path > 0 and config.optim.lr < 1e-3 else 1.0

    monkeypatch.setattr(pairs, "_step", step)
    (broken,) = pairs.examined(("views.flip", "model.layer_scale", "predictor.blocks", "optim.betas"))
    assert broken.startswith("model.layer_scale with predictor.blocks: ") and "planted" in broken
    (broken,) = pairs.examined(("model.drop_path", "optim.lr"))
    assert broken == "model.drop_path with optim.lr: losses [nan, nan]"
