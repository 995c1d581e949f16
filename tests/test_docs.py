"""What README and CONTRIBUTING name exists, and every experiment and study file passes `check`."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from hjepa.cli.errors import run_app
from hjepa.cli.search import app as search
from hjepa.cli.train import app as train
from hjepa.overrides import knobs, override_layer, yaml12
from hjepa.search.ablation.keys import DESIGNS
from hjepa.search.schema import parse_spec
from hjepa.search.space import KINDS

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}
FILES = sorted([*ROOT.glob("experiments/**/*.yaml"), *ROOT.glob("search_spaces/*.yaml")])


def commands(page: str) -> list[list[str]]:
    """The lines of a page's shell blocks as words, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = [words for page in PAGES.values() for words in commands(page)]


def options_of(app: typer.Typer, name: str | None) -> set[str]:
    """The long options of a command."""
    found = typer.main.get_command(app)
    if name is not None:
        found = found.commands[name]  # type: ignore[attr-defined]
    return {option for parameter in found.params for option in parameter.opts if option.startswith("--")}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shown_exists_with_its_options(words: list[str]) -> None:
    program, *rest = words
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets)
    elif program == "hjepa-search":
        assert given <= options_of(search, rest[0])
    else:
        assert program == "hjepa-train"
        assert given <= options_of(train, None)
    settings = [word for word in rest if re.fullmatch(r"[a-z_.]+=.*", word)]
    assert set(override_layer(settings).values) <= set(knobs())


def test_every_file_named_exists() -> None:
    for name, page in PAGES.items():
        named = re.findall(r"\b(?:hjepa|tests|experiments|search_spaces|benchmarks)/[\w./]*\w", page)
        named += re.findall(r"\]\(([^)#]+)\)", page)
        missing = [path for path in named if not path.startswith("http") and not (ROOT / path).exists()]
        assert not missing, f"{name} names {missing}"


def test_every_subcommand_named_in_the_text_exists() -> None:
    known = set(typer.main.get_command(search).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`hjepa-search ([a-z]+)", "".join(PAGES.values()))) <= known


def test_the_study_shown_is_the_file() -> None:
    shown, ablation = re.findall(r"```yaml\n(.*?)```", PAGES["README.md"], flags=re.DOTALL)
    assert yaml12.parse(shown) == yaml12.read(ROOT / "search_spaces" / "quickstart.yaml")
    spec = parse_spec({"study": "shown", **yaml12.parse(ablation)}, "README.md").ablation
    assert spec is not None
    assert set(re.findall(r"\w+", ablation.splitlines()[1])) == {"design", *DESIGNS}


def test_kinds_of_dimension_and_samplers_are_those_named() -> None:
    text = " ".join(PAGES["README.md"].split())
    for kind in KINDS:
        assert f"`{kind}`" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_passes_check(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        run_app(search, "hjepa-search", ["check", str(path)])
    assert ended.value.code == 0, capsys.readouterr().err


def test_no_machine_is_named() -> None:
    """Pages and settings hold no path of one machine and no address of a package registry."""
    texts = [
        *PAGES.values(),
        *((ROOT / name).read_text() for name in ("Makefile", "constraints.txt", "pyproject.toml")),
    ]
    for text in texts:
        assert not re.search(r"/home/|/tmp/|@ file|://", text)
