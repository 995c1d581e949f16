"""The keys of a study file that make it an ablation: a design over factors, and what others claim of them."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from hjepa.config import Section

DesignName = Literal["leave_one_out", "add_one_in", "one_at_a_time", "factorial", "fractional_factorial", "path", "a_a"]
DESIGNS: tuple[DesignName, ...] = get_args(DesignName)
#: Key of the ablation -> the one design that it belongs to.
ONLY_WITH: dict[str, DesignName] = {"resolution": "fractional_factorial", "labels": "a_a"}


def _band(effect: tuple[float, float]) -> tuple[float, float]:
    low, high = effect
    if not 0 < low <= high:
        raise ValueError("[a, b] in points with 0 < a <= b")
    return effect


class AblationSpec(Section):
    """What an ablation compares, and what its report should know."""

    design: DesignName = Field(..., description="Which combinations of the factors run.")
    factors: dict[str, Any] = Field(
        {},
        description="Name: {without: {path: value, ...}, with: {...}} or {levels: {name: {path: value, ...}, ...}}, "
        "the reference first.",
    )
    resolution: Annotated[int, Field(ge=3, le=5)] | None = Field(
        None, description="fractional_factorial: shortest word of its defining relation, at least; null: 4."
    )
    labels: Annotated[int, Field(ge=2)] | None = Field(
        None, description="a_a: names under which the one configuration runs; null: 2."
    )
    seed_sd: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Standard deviation of a score over seeds, in points, for the plan; null: measured by what ran.",
    )
    margin: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Effects within so many points of 0 count as none: asks for the equivalence test."
    )

    @model_validator(mode="after")
    def _belongs(self) -> "AblationSpec":
        for name, design in ONLY_WITH.items():
            if getattr(self, name) is not None and self.design != design:
                raise ValueError(f"{name}: allowed only when ablation.design is {design}")
        if (self.design == "a_a") == bool(self.factors):
            raise ValueError(f"factors: allowed {'none' if self.factors else 'at least one'} with design {self.design}")
        return self


class ClaimSpec(Section):
    """An effect that somebody expects of a factor."""

    factor: str = Field(..., description="A comparison of the study by its name: a factor, or factor=level.")
    effect: Annotated[tuple[float, float], AfterValidator(_band)] = Field(
        ..., description="[a, b]: at least a and up to b points of the objective, 0 < a <= b."
    )
    source: str = Field(..., description="Who claims it, and where.")
