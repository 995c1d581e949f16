"""The flat table mirrors the schema, and a field without its metadata cannot be."""

from typing import Literal

import pytest

from hjepa.config import Config, Section
from hjepa.overrides import knobs, live, nearest, problem, shown
from hjepa.overrides.fields import _walk


def test_the_table_lists_every_leaf_in_schema_order() -> None:
    assert list(knobs())[:2] == ["seed", "data.dataset"]
    sections = [name for name, info in Config.model_fields.items() if isinstance(info.annotation, type)]
    assert {path.split(".")[0] for path in knobs()} == {"seed", *(name for name in sections if name != "seed")}


def test_kinds_and_choices() -> None:
    assert knobs()["model.positions"].choices == ("sincos", "learned", "none")
    assert knobs()["objective.normalise_targets"].choices == (False, True)
    assert None in (knobs()["model.size"].choices or ())
    assert knobs()["optim.betas"].kind == "list"
    assert knobs()["optim.clip_norm"].kind == "float or null"
    assert knobs()["data.root"].kind == "text or null"


def test_a_bare_field_is_refused() -> None:
    class Bare(Section):
        loss: Literal["a", "b"] = "a"

    with pytest.raises(TypeError, match=r"x\.loss: every field must be made with knob"):
        _walk(Bare, "x.")


def test_live_says_which_condition_fails() -> None:
    knob = knobs()["hierarchy.renormalise"]
    on = {"objective.jepa_weight": 1.0, "hierarchy.levels": 3, "objective.normalise_targets": True}
    assert live(knob, on) is None
    assert live(knob, on | {"hierarchy.levels": 1}) == "hierarchy.levels is 2 or 3 or 4"
    assert live(knobs()["evaluation.draws"], {"evaluation.labels_per_class": None}) == (
        "evaluation.labels_per_class is not null"
    )


def test_lines() -> None:
    assert shown([None, True, 1e-4, "x"]) == "[null, true, 0.0001, x]"
    assert len(shown("x" * 200)) == 80
    assert problem("a.b", None, "1, 2", source="f.yaml") == "a.b: got null; allowed 1, 2 (f.yaml)"
    assert nearest("sigregg", ["none", "sigreg"]) == "; did you mean sigreg?"
    assert nearest("zzz", ["none", "sigreg"]) == ""
