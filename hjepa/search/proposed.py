"""What a sampler has proposed so far: what is asked of that for every trial, without a look at all that came before."""

from collections.abc import Mapping
from typing import Any, Literal

#: Attributes of a proposal: its configuration, the point of a grid, its place among those to be tried first, that a
#: killed driver left it unused, and that it is of another study.
INDEX, POINT, FIRST, LOST, KNOWN = "index", "point", "first", "lost", "known"
State = Literal["running", "scored", "failed"]


class Proposed:
    """Proposals by their numbers, which count from 0 in the order in which they were entered."""

    def __init__(self) -> None:
        #: The number of each configuration whose end was not told.
        self.running: dict[int, int] = {}
        #: That of each configuration that ended with a score.
        self.scored: dict[int, int] = {}
        #: Points of a grid, and places among those to be tried first, that were proposed.
        self.points: set[int] = set()
        self.firsts: set[int] = set()
        #: How many are of other studies.
        self.known = 0
        #: How many there are but for those that were left unused.
        self.asked = 0
        self._failed: list[bool] = []

    def enter(self, attributes: Mapping[str, Any], state: State) -> None:
        """The next proposal."""
        number = len(self._failed)
        self._failed.append(state == "failed")
        if LOST in attributes:
            return
        self.asked += 1
        self.known += KNOWN in attributes
        if INDEX not in attributes:
            return
        self.points |= {attributes[POINT]} if attributes.get(POINT) is not None else set()
        self.firsts |= {attributes[FIRST]} if attributes.get(FIRST) is not None else set()
        if state == "running":
            self.running[attributes[INDEX]] = number
        elif state == "scored":
            self.scored.setdefault(attributes[INDEX], number)

    def end(self, index: int, state: State) -> None:
        """The end of a configuration that is running."""
        number = self.running.pop(index)
        self._failed[number] = state == "failed"
        if state == "scored":
            self.scored.setdefault(index, number)

    def lose(self, index: int, attributes: Mapping[str, Any]) -> None:
        """A configuration that is running was left unused: the next proposal is as if it had never been."""
        self._failed[self.running.pop(index)] = True
        self.asked -= 1
        self.points.discard(attributes.get(POINT, -1))
        self.firsts.discard(attributes.get(FIRST, -1))

    def stuck(self, many: int) -> bool:
        """Whether the last so many have failed."""
        return len(self._failed) >= many and all(self._failed[-many:])
