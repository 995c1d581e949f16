"""Claims: every field has a row; the test named as its proof is collected and needs neither GPU, Ray nor data
that may be absent; the README shows the same table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hjepa.cli.features import GATE, render, rows
from hjepa.overrides import knobs

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BEGIN, END = "<!-- hjepa-search features --format markdown -->\n", "<!-- end of features -->\n"


def test_a_row_for_every_field() -> None:
    found = json.loads(render("json"))
    assert [row["path"] for row in found] == list(knobs())
    for row in found:
        assert {"name", "path", "values", "effect", "source", "proof"} <= row.keys()
        assert row["name"] and row["values"] and row["effect"] and row["proof"]
    names = [row["name"] for row in found]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]


@pytest.mark.slow
def test_every_proof_is_a_test_that_runs_anywhere() -> None:
    proofs = {row["proof"] for row in rows()}
    files = sorted({proof.partition("::")[0] for proof in proofs})
    always = "not gpu and not ray and not realdata"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", always, *files]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    collected = set(listed.stdout.splitlines())
    collected |= {node.partition("[")[0] for node in collected}  # a name without brackets runs all of them
    missing = proofs - collected
    assert not missing, f"{sorted(missing)[:9]}\n{listed.stdout[-2000:]}{listed.stderr[-2000:]}"


def test_a_field_without_a_test_of_its_own_is_proven_by_the_gate() -> None:
    (row,) = [row for row in rows() if row["path"] == "optim.lr"]
    assert row["proof"] == GATE.format(path="optim.lr")


def test_readme_shows_the_table(request: pytest.FixtureRequest) -> None:
    text, table = README.read_text(), f"\n{render('markdown')}\n"
    before, _, rest = text.partition(BEGIN)
    shown, end, after = rest.partition(END)
    assert end, f"README.md lacks the lines {BEGIN!r} and {END!r}"
    if request.config.getoption("write_golden"):
        README.write_text(f"{before}{BEGIN}{table}{END}{after}")
        shown = table
    assert shown == table, "README's table is old: pytest tests/cli/test_features.py --write-golden"
