"""Two-level fractional factorial designs: a part of all combinations, and what it cannot tell apart.

The generators are searched here and expanded by pyDOE3: its own choice by resolution leaves out the word of all
letters, and with it the half fraction. Resolution and aliases are read off the finished design.
Source: Box, Hunter and Hunter 2005, "Statistics for Experimenters", chapter 6.
"""

import itertools
import string
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int64]


def fraction(factors: int, least: int) -> Signs:
    """The signs (-1 without, 1 with) of the fewest runs [runs, factors] of at least this resolution.

    All combinations where no fraction has it. Raises ValueError below three factors.
    """
    from pyDOE3 import fracfact  # noqa: PLC0415 - takes a second of scipy that no other design needs

    if factors < 3:
        raise ValueError(f"factors: got {factors}; design fractional_factorial allowed three or more")
    return np.asarray(fracfact(" ".join(_generators(factors, least)))).astype(np.int64)


def _generators(factors: int, least: int) -> list[str]:
    """A word of letters for each factor: its own letter, or those of the factors that its column is the product of."""
    for base in range(1, factors):
        letters = string.ascii_lowercase[:base]
        lengths = range(least - 1, base + 1)
        words = ["".join(word) for length in lengths for word in itertools.combinations(letters, length)]
        for extra in itertools.combinations(words, factors - base):
            if _shortest(base, extra) >= least:
                return [*letters, *extra]
    return list(string.ascii_lowercase[:factors])


def _shortest(base: int, extra: Sequence[str]) -> int:
    """Length of the shortest word of the defining relation of `extra` columns beside `base` letters."""
    masks = [sum(1 << ord(letter) - ord("a") for letter in word) | 1 << base + n for n, word in enumerate(extra)]
    products = {0}
    for mask in masks:
        products |= {product ^ mask for product in products}
    return min(product.bit_count() for product in products - {0})


def resolution(signs: Signs) -> int:
    """Length of the shortest word of the defining relation: the fewest columns whose product is constant.

    One more than the number of factors for all combinations, which have no such word.
    """
    runs, factors = len(signs), len(signs[0])
    for length in range(1, factors + 1):
        for columns in itertools.combinations(range(factors), length):
            if abs(int(signs[:, columns].prod(axis=1).sum())) == runs:
                return length
    return factors + 1


def roman(length: int) -> str:
    """A resolution as it is written."""
    return ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")[length - 1] if length <= 10 else str(length)


def aliases(names: Sequence[str], signs: Signs) -> list[tuple[str, ...]]:
    """Main effects and two-way interactions, those together that have the same column up to its sign.

    A name that counts with the opposite sign of its group's first opens with `-`.
    """
    effects = {name: signs[:, number] for number, name in enumerate(names)}
    for one, two in itertools.combinations(range(len(names)), 2):
        effects[f"{names[one]}:{names[two]}"] = signs[:, one] * signs[:, two]
    groups: list[list[str]] = []
    for name, column in effects.items():
        for group in groups:
            overlap = int((effects[group[0]] * column).sum())
            if abs(overlap) == len(column):
                group.append(name if overlap > 0 else f"-{name}")
                break
        else:
            groups.append([name])
    return [tuple(group) for group in groups]
