"""Files and `path=value` become one checked Config; what is wrong is one line: path, value, allowed, file."""

from pathlib import Path

import pytest

from hjepa.config import Config
from hjepa.overrides import ConfigError, Layer, flatten, load_config, nest, resolve, values_of


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    return str(caught.value)


def test_no_settings_are_the_defaults() -> None:
    assert load_config() == Config()


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("optim: {lr: 1e-4, batch_size: 64}\nmodel.size: micro\n")
    config = load_config(file, ["optim.lr=2e-4", "views.crop_scale=[0.5, 1.0]", "model.layer_scale=1e-5"])
    assert (config.optim.lr, config.optim.batch_size, config.model.size) == (2e-4, 64, "micro")
    assert config.views.crop_scale == (0.5, 1.0)
    assert config.model.layer_scale == 1e-5


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optim.lrr=1", "optim.lrr: unknown key; allowed optim.optimiser, optim.batch_size, optim.lr, "),
        ("optimm.lr=1", "optimm.lr: unknown key; "),
        ("rope=true", "rope: unknown key; allowed data, "),
        ("optim=3", "optim: got 3; allowed a mapping of its fields (command line)"),
        ("optim.lr=0", "optim.lr: got 0; allowed greater than 0 (command line)"),
        ("optim.lr=.nan", "optim.lr: got nan; allowed a finite number (command line)"),
        ("optim.lr=fast", "optim.lr: got fast; allowed a number (command line)"),
        ("optim.batch_size=16.0", "optim.batch_size: got 16.0; allowed an integer (command line)"),
        ("optim.batch_size=true", "optim.batch_size: got true; allowed a"),
        ("data.download=yes", "data.download: got yes; allowed false, true (command line)"),
        (
            "masks.strategy=multblock",
            "masks.strategy: got multblock; allowed multiblock, block, random, raster; did you mean multiblock? "
            "(command line)",
        ),
        ("views.crop_scale=[1,2,3]", "views.crop_scale: got [1, 2, 3]; allowed at most 2 items (command line)"),
        ("views.crop_scale=0.3", "views.crop_scale: got 0.3; allowed a list (command line)"),
        ("seed=2024-01-01", "seed: got 2024-01-01; allowed a"),
        ("optim.lr", "optim.lr: allowed path=value, for example optim.lr=1e-3 (command line)"),
        ("=1", "=1: allowed path=value"),
        ("optim.lr=[1", "not readable as YAML"),
    ],
)
def test_wrong_settings_are_one_line(override: str, line: str) -> None:
    said = refused(override)
    assert said.startswith(line)
    assert "\n" not in said
    assert "(command line" in said


def test_near_misses_are_named() -> None:
    assert "did you mean optim.lr?" in refused("optim.lrr=1")
    assert "did you mean masks.num_targets?" in refused("masks.num_target=1")
    assert "did you mean model.layer_scale?" in refused("layer_scale=1e-4")


def test_every_problem_is_told_at_once() -> None:
    assert len(refused("optim.lr=0", "masks.strategy=x").splitlines()) == 2


def test_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("optim:\n  lr: -1\n")
    with pytest.raises(ConfigError, match=r"optim\.lr: got -1; allowed greater than 0 \(.*e\.yaml\)"):
        load_config(file)
    file.write_text("- 1\n")
    with pytest.raises(ConfigError, match="allowed a mapping of configuration sections"):
        load_config(file)
    file.write_text("1: 2\n")
    with pytest.raises(ConfigError, match="a name as key"):
        load_config(file)
    file.write_text("optim: {lr: 1}\noptim.lr: 2\n")
    with pytest.raises(ConfigError, match="given twice"):
        load_config(file)
    file.write_text("")
    assert load_config(file) == Config()


def test_a_field_that_cannot_act_is_refused() -> None:
    said = refused("views.color_jitter=0.5")
    assert said == "views.color_jitter: got 0.5; allowed only when views.augmentation is three_augment (command line)"
    assert "only when evaluation.labels_per_class is not null" in refused("evaluation.draws=3")
    # Given at its default it cannot act either.
    assert "only when" in refused("views.color_jitter=0.3")


def test_what_a_later_layer_switches_off_is_dropped() -> None:
    base = Layer("base.yaml", {"masks.strategy": "random", "masks.target_ratio": 0.4})
    config = resolve([base, Layer("trial", {"masks.strategy": "block"})])
    assert config == resolve([Layer("one", {"masks.strategy": "block"})])
    with pytest.raises(ConfigError, match=r"masks\.target_ratio.*trial"):
        resolve([base, Layer("trial", {"masks.strategy": "block", "masks.target_ratio": 0.5})])


def test_flat_and_nested_are_inverse() -> None:
    flat = values_of(load_config(None, ["views.crop_scale=[0.5,1.0]"]))
    assert flatten(nest(flat)) == flat
    assert resolve([Layer("seed", {"seed": 5})]).seed == 5
