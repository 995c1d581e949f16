"""The metadata every configuration field carries: what it acts on, when it is live, how to flip it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Effect = Literal["training", "evaluation", "runtime_exact", "runtime_numeric"]

#: In a live condition: the other field must hold any value but null.
SET = "<set>"
#: In a live condition: the other field must be above 0.
POSITIVE = "<positive>"
#: Live condition of all that belongs to the prediction of hidden regions.
PREDICTS = {"objective.jepa_weight": POSITIVE}


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys and non-finite numbers are refused.

    `live` is a condition that all fields of the section share, in the form of a field's `when`.
    """

    live: ClassVar[Mapping[str, Sequence[Any] | str]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def as_conditions(when: Mapping[str, Sequence[Any] | str]) -> dict[str, Any]:
    """Conditions as plain data: lists, or `SET` or `POSITIVE`."""
    return {path: values if isinstance(values, str) else list(values) for path, values in when.items()}


def holds(value: Any, allowed: Sequence[Any] | str) -> bool:
    """Whether a value meets one condition."""
    if allowed == SET:
        return value is not None
    if allowed == POSITIVE:
        return isinstance(value, int | float) and value > 0
    return value in allowed


def in_words(allowed: Sequence[Any] | str, show: Callable[[Any], str] = str) -> str:
    """One condition as the end of a sentence that begins with the field's path."""
    if isinstance(allowed, str):
        return {SET: "is not null", POSITIVE: "is above 0"}[allowed]
    return "is " + " or ".join("null" if value is None else show(value) for value in allowed)


def knob(
    default: Any,
    doc: str,
    *,
    effect: Effect,
    flip: Any,
    when: Mapping[str, Sequence[Any] | str] | None = None,
    together: Mapping[str, Any] | None = None,
    source: str = "",
    proof: str = "",
    **constraints: Any,
) -> Any:
    """A configuration field.

    `flip` is one value other than the default, which the effect gate tries; `together` are the
    other dotted paths that must change with it. `when` maps a dotted path to the values (or
    `SET`, or `POSITIVE`) for which this field acts: outside of them, giving the field is an error.
    `source` is the paper, equation or code that defines the technique; `proof` the test (its pytest node id)
    that shows more than the effect gate does. `constraints` go to pydantic (ge, le, ..., and title: the
    technique's name, where the path says it badly).
    """
    extra = {
        "effect": effect,
        "flip": flip,
        "when": as_conditions(when or {}),
        "together": dict(together or {}),
        "source": source,
        "proof": proof,
    }
    return Field(default, description=doc, json_schema_extra=extra, **constraints)
