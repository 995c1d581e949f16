"""Factorial data of a known model gives back its effects, its aliases, and statsmodels' own numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from hjepa.search.ablation.factorial import Codes, factorial

FULL = {f"c{n}": dict(zip("abc", codes, strict=True)) for n, codes in enumerate(itertools.product((-1, 1), repeat=3))}
#: 2^(4-1), d = abc: resolution IV.
HALF = {name: {**codes, "d": codes["a"] * codes["b"] * codes["c"]} for name, codes in FULL.items()}
#: 2^(3-1), c = -ab.
RESOLUTION_THREE = {
    f"c{n}": {"a": a, "b": b, "c": -a * b} for n, (a, b) in enumerate(itertools.product((-1, 1), repeat=2))
}


def simulate(cells: dict[str, Codes], seeds: int, noise: float, draw: int = 0) -> dict[str, dict[int, float]]:
    """score = 0.6 + seed + 0.02 a - 0.01 b + 0.015 a:b, as effects (twice the coefficients)."""
    rng = np.random.default_rng(draw)
    block = 0.02 * rng.standard_normal(seeds)
    return {
        name: {
            seed: 0.6
            + block[seed]
            + (0.02 * c["a"] - 0.01 * c["b"] + 0.015 * c["a"] * c["b"]) / 2
            + noise * float(rng.standard_normal())
            for seed in range(seeds)
        }
        for name, c in cells.items()
    }


TRUTH = {"a": 0.02, "b": -0.01, "c": 0.0, "a:b": 0.015, "a:c": 0.0, "b:c": 0.0}


def test_a_known_model_comes_back() -> None:
    found = {term.name: term for term in factorial(FULL, simulate(FULL, 6, 0.002)).terms}
    assert list(found) == list(TRUTH)
    for name, value in TRUTH.items():
        assert found[name].effect == pytest.approx(value, abs=0.002)
        assert found[name].significant == (value != 0)
        assert not found[name].aliases


def test_intervals_hold_the_model_as_often_as_they_say() -> None:
    held = [
        term.interval is not None and term.interval.low <= TRUTH[term.name] <= term.interval.high
        for draw in range(100)
        for term in factorial(FULL, simulate(FULL, 4, 0.005, draw)).terms
    ]
    assert 0.92 <= np.mean(held) <= 0.98


def test_numbers_agree_with_a_formula_in_statsmodels() -> None:
    scores = simulate(FULL, 3, 0.005)
    del scores["c2"][1]
    frame = pd.DataFrame(
        [{**FULL[cell], "seed": seed, "score": s} for cell, row in scores.items() for seed, s in row.items()]
    )
    fit = smf.ols("score ~ C(seed) + (a + b + c) ** 2", frame).fit()
    found = factorial(FULL, scores, {"c2": {1: "diverged"}})
    assert found.freedom == fit.df_resid and found.residual_sd == pytest.approx(np.sqrt(fit.scale), abs=1e-8)
    for term in found.terms:
        assert term.interval is not None
        assert term.effect == pytest.approx(2 * fit.params[term.name], abs=1e-8)
        assert term.p == pytest.approx(fit.pvalues[term.name], abs=1e-8)
        limits = 2 * fit.conf_int().loc[term.name]
        assert (term.interval.low, term.interval.high) == pytest.approx(tuple(limits), abs=1e-8)
    assert "c2 seed 1: diverged" in found.notes[0]


def aliases(cells: dict[str, Codes]) -> dict[str, tuple[str, ...]]:
    return {term.name: term.aliases for term in factorial(cells, simulate(cells, 2, 0.001)).terms}


def test_aliases_of_a_half_fraction() -> None:
    found = aliases(HALF)
    assert found == {
        "a": ("b:c:d",), "b": ("a:c:d",), "c": ("a:b:d",), "d": ("a:b:c",),
        "a:b": ("c:d",), "a:c": ("b:d",), "a:d": ("b:c",),
    }  # fmt: skip
    assert aliases(RESOLUTION_THREE) == {"a": ("-b:c",), "b": ("-a:c",), "c": ("-a:b",)}


def test_an_aliased_estimate_is_the_signed_sum() -> None:
    result = factorial(RESOLUTION_THREE, simulate(RESOLUTION_THREE, 8, 0.001))
    found = {term.name: term for term in result.terms}
    assert found["c"].aliases == ("-a:b",)
    assert found["c"].effect == pytest.approx(0.0 - 0.015, abs=0.002)
    assert any("aliases" in note for note in result.notes)


def test_what_cannot_be_estimated_is_said() -> None:
    cells = {"x": {"a": -1, "b": 1}, "y": {"a": 1, "b": 1}}
    one = factorial(cells, {"x": {0: 0.5}, "y": {0: 0.6}})
    assert all(term.p is None and not term.significant for term in one.terms)
    said = {term.name: term.cannot for term in one.terms}
    assert "no trial is left" in str(said["a"]) and "same in all cells" in str(said["b"])
    nothing = factorial(cells, {}, {"x": {0: "failed"}})
    assert all(term.cannot for term in nothing.terms) and "failed" in nothing.notes[0]
    exact = factorial(FULL, simulate(FULL, 3, 0.0))
    assert all(term.p is None and "do not vary" in str(term.cannot) for term in exact.terms)


def test_a_lost_cell_changes_what_can_be_told_apart() -> None:
    scores = simulate(FULL, 4, 0.002)
    for cell in ("c0", "c1", "c2"):
        scores[cell] = {}
    found = {term.name: term for term in factorial(FULL, scores).terms}
    assert any(term.cannot is not None or term.aliases for term in found.values())
    assert all(term.p is None for term in found.values() if term.cannot)


def test_codes_are_checked() -> None:
    with pytest.raises(ValueError, match="x: a: got 0"):
        factorial({"x": {"a": 0}}, {})
    with pytest.raises(ValueError, match="y: got factors"):
        factorial({"x": {"a": 1}, "y": {"b": 1}}, {})
