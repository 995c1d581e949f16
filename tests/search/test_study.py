"""A study file is read strictly: each mistake is one line that names path, value, what is allowed, and the file."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import ConfigError, identity
from hjepa.search.study import Study, config_hash, trial_id

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"sampla": {}}, r"sampla: unknown key; allowed study, .*; did you mean sampler\?"),
    ({"scheduler": {"gracee": 1}}, r"scheduler\.gracee: unknown key; allowed type, grace, .*; did you mean grace\?"),
    ({"scheduler": {"grace": 2.0}}, r"scheduler\.grace: got 2\.0; allowed less than or equal to 1"),
    ({"scheduler": {"type": "none", "grace": 0.5}}, r"scheduler\.grace: allowed only when scheduler\.type is asha"),
    (
        {"sampler": {"type": "tpa"}},
        r"sampler\.type: got tpa; allowed tpe, random, gp, grid, cmaes or nsgaii; did you mean tpe\?",
    ),
    (
        {"objective": {"metric": "probe.top2"}},
        r"objective\.metric: got probe\.top2; allowed probe\.top1, .*; did you mean",
    ),
    ({"objective": {"mode": "min"}}, r"objective\.mode: got min; allowed max"),
    ({"budget": {"epochs": 3}}, r"budget\.trials: missing"),
    ({"budget": {"trials": 0}}, r"budget\.trials: got 0; allowed greater than or equal to 1"),
    ({"study": "a/b"}, r"study: got a/b; allowed letters, digits"),
    ({"seeds": []}, r"seeds: got \[\]; allowed one or more different seeds"),
    ({"seeds": [1, 1]}, r"seeds: got \[1, 1\]; allowed one or more different seeds"),
    ({"resources": {"gpus": "all"}}, r"resources\.gpus: got all; allowed auto or a number"),
    ({"resources": 3}, r"resources: got 3; allowed"),
    ({"base": "nowhere.yaml"}, r"base: got nowhere\.yaml; allowed an experiment file, relative to the study"),
    ({"base": {"optim.lrr": 1}}, r"optim\.lrr: unknown key; allowed .*; did you mean optim\.lr\?"),
    ({"space": {}}, r"space: got \{\}; allowed at least one dimension"),
    ({"space": "<absent>"}, r"space: missing"),
    ({"sampler": {"type": "grid"}}, r"sampler\.type: got grid; .* optim\.lr is a continuous range: give it a step"),
    ({"sampler": {"type": "cmaes"}}, r"sampler\.type: got cmaes; allowed only .*; views\.augmentation is none"),
]


@pytest.mark.parametrize(("keys", "line"), MISTAKES)
def test_a_mistake_is_one_line(write_study: Callable[..., Path], keys: dict[str, Any], line: str) -> None:
    path = write_study(**keys)
    with pytest.raises(ConfigError) as caught:
        Study.load(path)
    assert len(caught.value.problems) == 1
    assert re.match(line, caught.value.problems[0])
    assert "study_file.yaml" in caught.value.problems[0]


def test_several_mistakes_are_several_lines(write_study: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        Study.load(write_study(sampla=1, seeds=[-1], budget={"trials": 1, "epochs": "many"}))
    assert len(caught.value.problems) == 3


def test_the_budget_and_settings_reach_every_trial(write_study: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("optim: {lr: 5e-3}\ntraining: {epochs: 9}\n")
    path = write_study(base="base.yaml")
    study = Study.load(path, sets=["data.train_size=100"], trials=3, epochs=2)
    config = study.config({"optim.lr": 1e-3}, seed=7)
    assert (config.training.epochs, config.seed, config.optim.lr, config.data.train_size) == (2, 7, 1e-3, 100)
    assert (study.configurations, study.base.optim.lr) == (3, 5e-3)
    assert Study.load(path).epochs == 4
    assert Study.load(write_study(base="base.yaml", budget={"trials": 1})).epochs == 9


@pytest.mark.parametrize("setting", ["seed=1", "training.epochs=3"])
def test_what_the_study_decides_cannot_be_set(write_study: Callable[..., Path], setting: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed only by (the study's seeds|budget.epochs or --epochs) \(--set\)"):
        Study.load(write_study(), sets=[setting])


def test_the_resolved_study_is_a_study_file_that_means_the_same(
    write_study: Callable[..., Path], tmp_path: Path
) -> None:
    from hjepa.overrides import yaml12

    study = Study.load(
        write_study(scheduler={"type": "none"}), sets=["model.layer_scale=1e-5", "runtime.micro_batch=32"]
    )
    (tmp_path / "resolved.yaml").write_text(yaml12.dump(study.resolved()))
    again = Study.load(tmp_path / "resolved.yaml")
    assert again.base == study.base
    assert again.resolved() == study.resolved()


def test_seeds_share_a_configuration_hash_and_settings_do_not(make_study: Callable[..., Study]) -> None:
    study = make_study()
    first, second = study.config({}, 0), study.config({}, 1)
    assert config_hash(first, "d") == config_hash(second, "d") != config_hash(study.config({"optim.lr": 2e-3}, 0), "d")
    assert identity(first, "d") != identity(second, "d")
    assert trial_id("0123456789abcdef", 3) == "0123456789-s3"
    assert trial_id("0123456789abcdef", 3, copy=1) == "0123456789-s3-d1"


def test_deeper_checks_see_every_choice_and_name_it(make_study: Callable[..., Study]) -> None:
    seen: list[tuple[float, float]] = []

    def check(config: Any) -> None:
        seen.append((config.optim.lr, config.views.color_jitter))
        if config.views.color_jitter == 0.5:
            raise ConfigError(["too colourful"])

    with pytest.raises(ConfigError, match=r"space\.views\.color_jitter: 0\.5 cannot be: too colourful \(.*file.yaml\)"):
        make_study().check(check)
    assert {lr for lr, _ in seen} == {1e-3, 1e-4, 1e-2}
    assert {jitter for _, jitter in seen} == {0.3, 0.1, 0.5}


def test_the_pure_part_and_the_command_line_load_no_heavy_library() -> None:
    pure = "analysis, export, files, plan, records, same_study, schema, space, space_file, study, trial_record"
    code = f"import sys; from hjepa.search import {pure}; from hjepa.search.reports import report"
    code += "; heavy = {'torch', 'ray', 'optuna', 'mlflow'}"
    subprocess.run([sys.executable, "-c", f"{code}; assert not heavy & set(sys.modules)"], check=True)
