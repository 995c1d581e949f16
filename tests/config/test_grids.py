"""Claims: patches tile whatever an encoder sees, rotations fit every head, and what cannot be is refused in one
line; spellings of one evaluation size or rotary base are one trial."""

import pytest

from hjepa.overrides import ConfigError, canonical, load_config

REFUSED = [
    ("model.positions=none", "model.positions: got none; allowed sincos, learned, or a model.rope besides"),
    ("model.size=null model.width=36 model.depth=2 model.heads=6 model.rope=axial", "model.rope: got axial; allowed"),
    ("model.rope=mixed predictor.width=24 predictor.heads=4", "predictor.heads: got 4; allowed with model.rope mixed"),
    ("model.rope_theta=20", "model.rope_theta: got 20; allowed only when model.rope is axial or mixed or dinov3"),
    ("model.patch_sizes=[4]", "model.patch_sizes: got [4]; allowed null or two or more"),
    ("model.patch_sizes=[8,4]", "model.patch_sizes: got [8, 4]; allowed null or two or more, each larger"),
    ("model.patch_sizes=[3,4]", "model.patch_sizes: got [3, 4]; allowed divisors of views.size 32 up to 8"),
    ("model.patch_sizes=[4,16]", "model.patch_sizes: got [4, 16]; allowed divisors of views.size 32 up to 8"),
    (
        "model.patch_sizes=[4,32] hierarchy.levels=1",
        "model.patch_sizes: got [4, 32]; allowed divisors of views.size",
    ),
    ("model.patch_sizes=[2,4] target.features=pixels", "model.patch_sizes: got [2, 4]; allowed null where target"),
    ("evaluation.size=30", "evaluation.size: got 30; allowed multiples of model.patch_size 4"),
    (
        "views.locals=2 views.local_size=12 model.patch_sizes=[4,8]",
        "views.local_size: got 12; allowed multiples of the patch size 8",
    ),
]


@pytest.mark.parametrize(("settings", "line"), REFUSED)
def test_what_cannot_be_is_refused(settings: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, settings.split())
    assert caught.value.problems[0].startswith(line)


@pytest.mark.parametrize(
    "settings",
    ["model.positions=none model.rope=dinov3", "model.patch_sizes=[2,4,8] model.rope=mixed", "evaluation.size=48"],
)
def test_what_can_be_is_allowed(settings: str) -> None:
    load_config(None, settings.split())


def test_grids_follow_the_patch_sizes() -> None:
    assert load_config(None, ["model.patch_sizes=[2,4,8]"]).grids == {2: 16, 4: 8, 8: 4}
    assert load_config().grids == {4: 8}


def test_spellings_of_a_default_are_one_trial() -> None:
    assert canonical(load_config(None, ["evaluation.size=32"])) == canonical(load_config())
    assert canonical(load_config(None, ["evaluation.size=24"])) != canonical(load_config())
    for kind, theta in (("axial", 100), ("mixed", 10)):
        named = load_config(None, [f"model.rope={kind}", f"model.rope_theta={theta}"])
        assert canonical(named) == canonical(load_config(None, [f"model.rope={kind}"]))
