"""Whatever stands in a study or experiment file, `check` says that it is correct, or why not: one line a reason, with
the file's path, at once, and never a traceback."""

import copy
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from hjepa.cli.errors import run_app
from hjepa.cli.search import app, check
from hjepa.overrides import ConfigError, knobs, live, load_config, values_of, yaml12
from hjepa.search.schema import StudySpec, section
from tests.mutants import STUDIES, mutant, whole_experiment

ROOT = Path(__file__).parents[2]
MUTANTS = 2000
#: Keys of a study file below which any name may stand: paths of settings, checked elsewhere.
FREE = ("settings", "base", "space")
#: Seconds that a file may take: some valid mutants are whole studies, of which every pair of choices is checked.
AT_MOST = 10.0


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The real study and experiment files, beside each other as in the repository, and those with every key."""
    for folder in ("experiments", "search_spaces"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name, tree in STUDIES.items():
        (tmp_path / "search_spaces" / f"{name}_whole.yaml").write_text(yaml12.dump(tree))
    (tmp_path / "experiments" / "whole.yaml").write_text(yaml12.dump(whole_experiment()))
    return tmp_path


def judged(path: Path) -> list[str]:
    """The problems of a file that `check` finds, each of one line that names the file; none where it is valid."""
    began = time.perf_counter()
    problems: list[str] = []
    try:
        check([path])
    except ConfigError as error:
        problems = error.problems or ["an error without a word"]
    assert time.perf_counter() - began < AT_MOST, path.read_bytes()[:2000]
    for line in problems:
        assert line.isprintable(), line
        assert str(path) in line
        assert len(line.replace(str(path), "").strip(" ():")) > 8, line
    return problems


def trimmed(tree: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A study with two dimensions of its space: what all of them together are checked for takes seconds."""
    if "space" not in tree:
        return tree
    return {**tree, "space": {path: tree["space"][path] for path in draw.sample(sorted(tree["space"]), 2)}}


def keys_of(model: type[BaseModel], start: str = "") -> set[str]:
    """Every key of a section and of the sections in it, dotted."""
    found = set()
    for name, info in model.model_fields.items():
        inside = section(info.annotation)
        found |= {start + name} if inside is None else keys_of(inside, f"{start}{name}.")
    return found


def written(tree: Any, start: str = "") -> set[str]:
    """Every key of a tree, dotted; a list's items stand for it."""
    if isinstance(tree, list):
        return set().union(*(written(item, start) for item in tree)) if tree else set()
    if not isinstance(tree, dict):
        return set()
    return set().union(*({f"{start}{name}"} | written(value, f"{start}{name}.") for name, value in tree.items()))


def test_every_key_of_a_file_is_mutated(files: Path) -> None:
    keys = set().union(*(written(yaml12.read(path)) for path in (files / "search_spaces").rglob("*.yaml")))
    assert keys_of(StudySpec) - keys == set()
    fields = set().union(*(written(yaml12.read(path)) for path in (files / "experiments").rglob("*.yaml")))
    values = values_of(load_config(None))
    assert {path for path in values if live(knobs()[path], values) is None} - fields == set()
    for path in [*(files / "search_spaces").glob("*_whole.yaml"), files / "experiments" / "whole.yaml"]:
        assert judged(path) == []


def test_editors_know_every_key_of_a_study_file_and_no_other(files: Path) -> None:
    schema = StudySpec.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    for path in (files / "search_spaces").glob("*.yaml"):
        assert valid(yaml12.read(path)), path.name
    for name, tree in STUDIES.items():
        for key in [None, *(key for key in tree if isinstance(tree[key], dict) and key not in FREE)]:
            wrong = copy.deepcopy(tree)
            (wrong if key is None else wrong[key])["speling"] = 1
            assert not valid(wrong), (name, key)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["search_spaces", "experiments"])
def test_mutants_are_correct_or_refused_with_a_reason(
    files: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    originals = {path: yaml12.read(path) for path in sorted((files / folder).rglob("*.yaml"))}
    refused = 0
    for number in range(MUTANTS):
        draw = random.Random(number)
        original = draw.choice(list(originals))
        path = original.with_name("mutant.yaml")
        path.write_bytes(mutant(trimmed(originals[original], draw), draw))
        try:
            refused += bool(judged(path))
        except Exception as error:
            text = path.read_bytes()[:1500]
            raise AssertionError(f"mutant {number} of {original.name}: {text!r}") from error
    assert MUTANTS // 2 < refused < MUTANTS
    assert "Traceback" not in capsys.readouterr().err


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
DANGEROUS: list[tuple[str, bytes, str]] = [
    ("a bomb of aliases", BOMB.encode(), "its aliases repeat more than 20000 values"),
    ("a tag that runs code", b"study: !!python/object/apply:os.system ['exit 3']\n", "allowed no tags"),
    ("a tag that is none", b"seed: !!bool maybe\n", "allowed no tags"),
    ("an alias of itself", b"views: &a [*a]\n", "an alias inside of what it repeats"),
    ("deep lists", b"seed: " + b"[" * 100_000, "nested more than 40 deep"),
    ("many values", b"seed: [" + b"1," * 100_000 + b"]", "more than 20000 values"),
    ("a long number", b"seed: " + b"9" * 100_000, "allowed 64 bits"),
    ("half of a character", b'data: {folder: "\\ud800"}', "half of a character"),
    ("a sign for the terminal", b'study: "\\e[31m"\n', "letters, digits"),
    ("a key of 100,000 letters", b"a" * 100_000 + b": 1\n", "not readable as YAML"),
    ("a quoted key of 900 letters", b'"' + b"a" * 900 + b'": 1\n', "unknown key"),
    (
        "a base that no system can name",
        b"study: t\nbudget: {trials: 2}\nspace: {seed: 1}\nbase: " + b"a" * 5000 + b"\n",
        "an experiment file",
    ),
    ("a base with a null", b'study: t\nbudget: {trials: 2}\nspace: {seed: 1}\nbase: "\\0"\n', "an experiment file"),
    ("a factorial of thirty factors", b"", "cells; allowed at most 512"),
    ("a fraction of thirty factors", b"", "got 30; allowed at most 10"),
    ("labels without end", b"study: t\nablation: {design: a_a, labels: 1000000000}\n", "allowed at most 512"),
    ("a step without end", b"", "a divisor of high - low"),
    (
        "a grid of a million tokens",
        b"views: {size: 1024}\nmodel: {patch_size: 1}\n",
        "model.patch_size: got 1; allowed",
    ),
]


def _dangerous(name: str, data: bytes) -> bytes:
    if "thirty" in name:
        design = "factorial" if "factorial" in name else "fractional_factorial"
        one = [f"f{n}: {{without: {{}}, with: {{}}}}" for n in range(30)]
        return f"study: t\nablation:\n  design: {design}\n  factors: {{{', '.join(one)}}}\n".encode()
    if name == "a step without end":
        return b"study: t\nbudget: {trials: 3}\nspace: {optim.lr: {uniform: [0.1, 0.2], step: 1.0e-300}}\n"
    return data


@pytest.mark.parametrize(("name", "data", "said"), DANGEROUS, ids=[name for name, *_ in DANGEROUS])
def test_what_would_hang_or_run_code_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(_dangerous(name, data))
    began = time.perf_counter()
    with pytest.raises(SystemExit) as caught:
        run_app(app, "hjepa-search", ["check", str(path)])
    assert time.perf_counter() - began < 3.0
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert output.err.startswith("error: ")
    assert said in output.err
    assert str(path) in output.err
    assert output.err.count("\n") == 1
    assert len(output.err) < 2500


def test_a_file_of_50_megabytes_and_one_without_end_are_read_no_further_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    assert judged(path) == [f"{path}: too large for settings; allowed at most 1000000 bytes"]
    assert judged(Path("/dev/zero")) == ["/dev/zero: too large for settings; allowed at most 1000000 bytes"]


@pytest.mark.parametrize(
    ("command", "data"),
    [(["hjepa-search", "plan"], b"study: [\n"), (["hjepa-train"], b"\xff\xfe\x00")],
)
def test_the_real_commands_exit_with_2(tmp_path: Path, command: list[str], data: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)
    script = Path(sys.executable).with_name(command[0])
    done = subprocess.run([script, *command[1:], path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"error: {path}: " in done.stderr or f"({path})" in done.stderr
