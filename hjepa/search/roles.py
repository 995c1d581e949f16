"""Who takes part in a study beside its Conductor: who proposes configurations, and who watches."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol

from hjepa.search.records import TrialRecord

Outcome = Literal["completed", "pruned", "failed"]


class Proposer(Protocol):
    """Where configurations come from: the sampler of a search, the cells of an ablation.

    `repeats`: a known configuration may be proposed again. `ended`: why `ask` answered None for good; None
    where an answer may come when more trials have ended. `walks`: every proposal is another one, until there are no
    more, so that many in a row which cannot run say nothing of the next.
    """

    repeats: bool
    ended: str | None

    @property
    def walks(self) -> bool:
        """See above."""
        ...

    def ask(self, index: int) -> dict[str, Any] | None:
        """The overrides of a new configuration."""
        ...

    def name(self, index: int) -> str:
        """What people call it."""
        ...

    def adopt(self, index: int, overrides: Mapping[str, Any]) -> None:
        """Learn of a configuration that only the records know."""
        ...

    def reject(self, index: int) -> None:
        """Withdraw the last proposal under an index."""
        ...

    def forget(self, index: int) -> None:
        """Withdraw a proposal that was never written down."""
        ...

    def tell(
        self,
        index: int,
        outcome: Outcome,
        value: float | None = None,
        history: Mapping[int, float] | None = None,
        facts: Mapping[str, float] | None = None,
    ) -> None:
        """The outcome of a configuration: its mean over seeds, its scores by epoch, and what it cost."""
        ...

    def running(self) -> Mapping[int, int]:
        """Configurations whose end it has not been told."""
        ...

    def told(self) -> Collection[int]:
        """Configurations that it knows."""
        ...


class Watcher(Protocol):
    """Somebody who follows the study: the live table, the tracking mirror."""

    def changed(self, record: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """A trial was written down, started, reported (then with metrics) or ended."""
        ...
