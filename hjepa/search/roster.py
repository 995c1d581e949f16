"""The trials of a study as its Conductor knows them: by id, by configuration, and by what they are doing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hjepa.search.goals import Goals
from hjepa.search.roles import Outcome
from hjepa.search.states import FAILURES
from hjepa.search.trial_record import TrialRecord


@dataclass
class Seed:
    """One configuration on one seed: its record, and its scores at rungs by epoch."""

    record: TrialRecord
    history: dict[int, float]


class Roster:
    """All trials that are written down. Every question is answered without a look at each of them."""

    def __init__(self) -> None:
        self._configurations: dict[int, dict[int, Seed]] = {}
        self._trials: dict[str, Seed] = {}
        self._same: dict[tuple[str, int], list[str]] = {}
        self._known: set[str] = set()
        self._by_state: dict[str, dict[str, None]] = {}
        self._copies: dict[str, list[str]] = {}
        self._busy: Counter[bool] = Counter()
        self._next = 0

    def __len__(self) -> int:
        """How many configurations there are."""
        return len(self._configurations)

    def __contains__(self, index: int) -> bool:
        """Whether a configuration is written down."""
        return index in self._configurations

    def __iter__(self) -> Iterator[Seed]:
        """Every trial, in the order in which they were entered."""
        return iter(list(self._trials.values()))

    def find(self, trial: str) -> Seed:
        """The trial of an id. Raises KeyError."""
        return self._trials[trial]

    def configuration(self, index: int) -> dict[int, Seed]:
        """The trials of a configuration by seed."""
        return self._configurations[index]

    def configurations(self) -> list[tuple[int, dict[int, Seed]]]:
        """All configurations by their numbers."""
        return sorted(self._configurations.items())

    def next_index(self) -> int:
        """The first number that no record holds: the next, or that of a configuration whose records were lost."""
        while self._next in self._configurations:
            self._next += 1
        return self._next

    def is_known(self, config: str) -> bool:
        """Whether some trial runs the configuration of this hash."""
        return config in self._known

    def same(self, config: str, seed: int) -> list[TrialRecord]:
        """The trials of one configuration's hash on one seed: the first, and those that repeat it."""
        return [self._trials[name].record for name in self._same.get((config, seed), [])]

    def in_state(self, state: str) -> list[TrialRecord]:
        """The trials of a state."""
        return [self._trials[name].record for name in self._by_state.get(state, {})]

    def copies(self, trial: str) -> list[Seed]:
        """The trials that repeat this one and have not ended."""
        copies = [self._trials[name] for name in self._copies.get(trial, [])]
        return [seed for seed in copies if not seed.record.final]

    @property
    def busy(self) -> bool:
        """Whether a trial is being executed, or about to be."""
        return self._busy[True] > 0

    def enter(self, record: TrialRecord, history: dict[int, float]) -> Seed:
        """A trial that was written down."""
        seed = Seed(record, history)
        self._configurations.setdefault(record.index, {})[record.seed] = seed
        self._trials[record.id] = seed
        self._same.setdefault((record.config, record.seed), []).append(record.id)
        self._known.add(record.config)
        if record.duplicate_of is not None:
            self._copies.setdefault(record.duplicate_of, []).append(record.id)
        self._count(record, 1)
        return seed

    def update(self, record: TrialRecord) -> None:
        """What a trial's record says now."""
        seed = self._trials[record.id]
        self._count(seed.record, -1)
        seed.record = record
        self._count(record, 1)

    def _count(self, record: TrialRecord, by: int) -> None:
        at = self._by_state.setdefault(record.state, {})
        if by > 0:
            at[record.id] = None
        else:
            del at[record.id]
        idle = record.final or record.state in ("paused", "duplicate") or record.duplicate_of is not None
        self._busy[not idle] += by


def outcome(ends: Sequence[TrialRecord], goals: Goals) -> tuple[Outcome, float | None]:
    """What became of a configuration: failed if any seed failed, else pruned if any was stopped before it had a score
    that counts, else completed, with the mean score.
    """
    scores = [end.score for end in ends if end.score is not None]
    if any(end.state in FAILURES for end in ends) or len(scores) < len(ends):
        return "failed", None
    if not all(map(goals.counts, ends)):
        return "pruned", None
    return "completed", sum(scores) / len(scores)


def means(seeds: Sequence[Seed]) -> dict[int, float]:
    """The mean over seeds at each epoch that all of them have reached."""
    epochs = set.intersection(*(set(seed.history) for seed in seeds))
    return {epoch: sum(seed.history[epoch] for seed in seeds) / len(seeds) for epoch in epochs}
