"""The metadata every configuration field carries: what it acts on, when it is live, how to flip it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Effect = Literal["training", "evaluation", "runtime_exact", "runtime_numeric"]

#: In a live condition: the other field must hold any value but null.
SET = "<set>"


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def knob(
    default: Any,
    doc: str,
    *,
    effect: Effect,
    flip: Any,
    when: Mapping[str, Sequence[Any] | str] | None = None,
    together: Mapping[str, Any] | None = None,
    source: str = "",
    **constraints: Any,
) -> Any:
    """A configuration field.

    `flip` is one value other than the default, which the effect gate tries; `together` are the
    other dotted paths that must change with it. `when` maps a dotted path to the values (or
    `SET`) for which this field acts: outside of them, giving the field is an error. `source` is
    the paper, equation or code that defines the technique. `constraints` go to pydantic (ge, le, ...).
    """
    extra = {
        "effect": effect,
        "flip": flip,
        "when": {path: values if isinstance(values, str) else list(values) for path, values in (when or {}).items()},
        "together": dict(together or {}),
        "source": source,
    }
    return Field(default, description=doc, json_schema_extra=extra, **constraints)
