"""Claim: Markdown, LaTeX, CSV, JSON and HTML say the same numbers; LaTeX compiles; the page needs no network.

Figures are made of the same JSON, and what a study has no data for is left out with its reason.
"""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports import figure_curves, figures
from hjepa.search.reports import latex as report_latex
from hjepa.search.reports.report import content, report
from hjepa.search.study import Study
from tests.browser import browser, console_errors

__all__ = ["browser"]

FACTORS: dict[str, Any] = {
    "scale_1": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1e-4}},
    "drop_path": {"without": {}, "with": {"model.drop_path": 0.2}},
}
CLAIM = {"factor": "scale_1", "effect": [1.0, 2.0], "source": "50 % of {it} & <more> #1 ~ ^ \\ | ± ≥ é 漢"}
Table = dict[str, list[str]]


def measure(folder: Path, score: float, epochs: int, draw: np.random.Generator) -> None:
    """A metrics.jsonl as training writes it."""
    lines: list[dict[str, Any]] = []
    for epoch in range(epochs + 1):
        known = {"probe_rung.top1": 0.25 + (score - 0.25) * epoch / epochs, "features.effective_rank": 9.0 + epoch}
        lines.append({"kind": "rung", "epoch": epoch, **known, "features.cosine": float(draw.uniform(0.6, 0.7))})
        lines.append({"kind": "step", "epoch": epoch + 1.0, "explained.level0": 0.1 * epoch, "loss": 0.1})
    lines.append({"kind": "full", "epoch": epochs, "probe.top1": score})
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"torn')
    (folder / "experiment.yaml").write_text("optim: {lr: 0.001} # <b>bold</b>\n")


@pytest.fixture
def ablation(make_study: Callable[..., Study], tmp_path: Path) -> StudyRecords:
    """An ablation over five seeds, one trial of which failed."""
    spec = {"design": "leave_one_out", "factors": FACTORS, "margin": 1.0}
    keys: dict[str, Any] = {"space": "<absent>", "budget": {"epochs": 2}, "ablation": spec, "claims": [CLAIM]}
    study = make_study(**keys, study="a_b", seeds=list(range(5)))
    records = StudyRecords.create_or_open(tmp_path / "runs", study, "data")
    assert study.design is not None
    for index, cell in enumerate(study.design.cells):
        for seed in study.seeds(index):
            draw = np.random.default_rng([index, seed])
            folder = records.folder(f"{index:010x}-s{seed}")
            overrides = study.design.overrides(cell)
            records.write_trial(
                TrialRecord(folder.name, index, f"{index:016x}", cell.name, seed, overrides, "pending", folder)
            )
            score = 0.5 - 0.015 * (cell.name == "without_scale_1") + 0.01 * seed + 0.002 * draw.standard_normal()
            measure(folder, score, 2, draw)
            done = {"state": "completed", "reason": None, "epoch": 2, "metrics": {"probe.top1": score}, "rung": 1}
            lost = {"state": "failed", "reason": "it <broke> & fell", "epoch": 1, "metrics": {}}
            cost = {"device_seconds": 60.0 * (index + 1), "floor": {"probe.top1": 0.25}}
            write_json(folder / "result.json", (lost if (index, seed) == (2, 4) else done) | cost)
            write_json(folder / "test.json", {"test.probe.top1": score - 0.01})
    return records


@pytest.fixture
def search(make_study: Callable[..., Study], tmp_path: Path, enter: Callable[..., TrialRecord]) -> StudyRecords:
    """A search of six configurations, one of them stopped."""
    study = make_study(study="s")
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index in range(6):
        overrides = {} if index == 0 else {"optim.lr": 1e-3 * index, "views.augmentation": "none"}
        if index % 2:
            overrides |= {"views.augmentation": "three_augment", "views.color_jitter": 0.1 * index}
        stopped = index == 5
        ended = {"epoch": 1, "metrics": {"probe_rung.top1": 0.3}} if stopped else {"epoch": 4, "rung": 3}
        score = {} if stopped else {"metrics": {"probe.top1": 0.3 + 0.02 * index}}
        cost = {"device_seconds": 100.0 + 7 * (index % 3)}
        state = "early_stopped" if stopped else "completed"
        trial = enter(records, study, index, overrides, state, **ended, **score, **cost)
        measure(trial.directory, 0.3 + 0.02 * index, 1 if stopped else 4, np.random.default_rng(index))
    return records


@pytest.fixture(params=["ablation", "search"])
def records(request: pytest.FixtureRequest) -> StudyRecords:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def columns(head: list[str], rows: list[list[str]]) -> Table:
    return {name: [cells[index] for cells in rows] for index, name in enumerate(head)}


def of_markdown(text: str) -> list[Table]:
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        rows = [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        ]
        found.append(columns(rows[0], rows[2:]))
    return found


def of_latex(text: str) -> list[Table]:
    found = []
    for block in re.findall(r"\\begin\{longtable\}(.*?)\\end\{longtable\}", text, flags=re.DOTALL):
        head = block.split("\\toprule\n")[1].split("\\\\\n")[0]
        body = block.split("\\endlastfoot\n")[1]
        lines = [line.removesuffix(" \\\\") for line in [head.rstrip(), *body.strip().splitlines()]]
        rows = [[unescaped(cell) for cell in re.split(r"(?<!\\)&", line)] for line in lines]
        found.append(columns(rows[0], rows[1:]))
    return found


def unescaped(cell: str) -> str:
    back = {value: key for key, value in report_latex.SPECIAL.items()}
    pattern = "|".join(re.escape(value) for value in sorted(back, key=len, reverse=True))
    plain = re.sub(pattern, lambda match: back[match[0]], cell.replace("\\allowbreak{}", ""))
    return plain.replace("−", "-").strip()


class Page(HTMLParser):
    """The tables of a page, its addresses, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True

    def handle_endtag(self, tag: str) -> None:
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.tables[-1][-1][-1] += data


def of_page(text: str) -> list[Table]:
    return [columns(rows[0], rows[1:]) for rows in Page(text).tables]


@pytest.mark.slow
def test_every_format_says_the_same_numbers(records: StudyRecords) -> None:
    plain, found = of_markdown(report(records, "markdown")), content(records)
    assert len(plain) >= 2 if "comparisons" in found else plain
    for tables in (of_page(report(records, "html")), of_latex(report(records, "latex"))):
        seen = set()
        for table in tables:
            there = next(name for name in ("comparison", "configuration", "rung (epoch)", "term") if name in table)
            twin = next(t for t in plain if set(table) <= set(t) and t[there] == table[there])
            assert all(table[name] == twin[name] for name in table)
            seen |= {(tuple(twin), name) for name in table}
        left = {(tuple(t), name) for t in plain for name in t} - seen
        assert {name for _, name in left} <= set(report_latex.LEFT_OUT)
    assert json.loads(report(records, "json")) == json.loads(json.dumps(found))


@pytest.mark.slow
def test_what_is_shown_is_the_rounded_json(ablation: StudyRecords) -> None:
    found = json.loads(report(ablation, "json"))
    table = next(table for table in of_page(report(ablation, "html")) if "effect" in table)
    assert table["effect"] == [f"{row['effect']:+.2f}" for row in found["comparisons"]]
    tests = [row["test"] for row in found["comparisons"]]
    shown = [f"{test['effect']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f})" for test in tests]
    assert table["on test"] == shown
    assert table["seeds"] == ["5", "4"]
    lines = list(csv.DictReader(io.StringIO(report(ablation, "csv"))))
    for line, row in zip(lines, found["comparisons"], strict=True):
        for name in ("effect", "low", "high", "sd", "p", "p_holm", "p_sign_flip", "p_wilcoxon"):
            assert float(line[name]) == row[name]
    ranking = next(table for table in of_page(report(ablation, "html")) if "configuration" in table)
    assert ranking["score"] == [f"{entry['score']:.4f}" for entry in found["configurations"]]


def test_the_search_says_the_same_in_its_csv(search: StudyRecords) -> None:
    lines = {line["cell"]: line for line in csv.DictReader(io.StringIO(report(search, "csv")))}
    found = {entry["cell"]: entry for entry in content(search)["configurations"]}
    assert {name: float(line["score"]) for name, line in lines.items()} == {n: e["score"] for n, e in found.items()}
    assert [name for name, entry in found.items() if entry["front"]] == ["c4", "c3"]
    assert found["baseline"]["settings"]["optim.lr"] == 1e-3
    assert content(search)["environment"]["precision"] == "fp32"


def test_curves_hold_what_training_wrote(search: StudyRecords) -> None:
    found = content(search)["curves"]
    assert [len(trial["rungs"]) for trial in found] == [5] * 5 + [2]
    assert found[1]["rungs"][4]["score"] == pytest.approx(0.32)
    assert found[1]["full"] == [{"epoch": 4, "score": 0.32}]
    assert found[1]["levels"][2] == {"epoch": 3, "explained.level0": pytest.approx(0.2)}
    assert found[1]["rungs"][2]["features.effective_rank"] == 11.0


@pytest.mark.slow
def test_latex_compiles(records: StudyRecords, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex: Debian's texlive-latex-base and texlive-latex-recommended")
    (tmp_path / "tables.tex").write_text(report(records, "latex"))
    head = ["\\documentclass{article}", "\\usepackage[margin=2cm]{geometry}", report_latex.PREAMBLE]
    lines = [*head, "\\begin{document}", "\\input{tables}", "\\end{document}"]
    (tmp_path / "paper.tex").write_text("\n".join(lines))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


@pytest.mark.parametrize("character", ["&", "%", "$", "#", "_", "{", "}", "~", "^", "\\", "<", "|", "漢"])
def test_every_special_character_is_escaped(character: str) -> None:
    found = report_latex.escaped(character)
    assert found == "?" if not character.isascii() else found != character
    assert unescaped(found) == (character if character.isascii() else "?")


@pytest.mark.slow
def test_the_page_holds_all_of_it_and_fetches_nothing(records: StudyRecords) -> None:
    text = report(records, "html")
    page = Page(text)
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"@import|url\((?!#)", text)
    assert "selected on the hold-out, reported on test" in text
    assert "optim: {lr: 0.001} # &lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold" not in text and "<broke>" not in text
    assert str(records.directory) not in text
    for name in ("curves", "monitors", "levels", "pareto"):
        assert f'id="{name}-figure_1"' in text


@pytest.mark.parametrize("state", ["early_stopped", "collapsed", "failed"])
def test_a_curve_that_was_cut_short_ends_in_a_cross(ablation: StudyRecords, state: str) -> None:
    found = content(ablation)
    for trial, end in zip(found["curves"], (state, *["completed"] * 20), strict=False):
        trial["state"] = end
    drawn = figure_curves.curves(found)
    assert not isinstance(drawn, str)
    crosses = [line for line in drawn.axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xdata()[-1] for line in crosses] == [found["curves"][0]["rungs"][-1]["epoch"]]


@pytest.mark.slow
def test_figures_are_files_too(ablation: StudyRecords, tmp_path: Path) -> None:
    found = content(ablation)
    row = {"cell": found["configurations"][0]["cell"], "trials": 3, "untrained": 0.2, "trained": 0.4}
    found["level_probes"] = {"rows": [row | {"level": level} for level in (0, 1)], "words": []}
    said = figures.save(found, tmp_path / "plots")
    names = {"effects", "curves", "pareto", "monitors", "levels", "level_probes"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {f"{n}.{k}" for n in names for k in ("png", "svg")}
    assert [line for line in said if "left out" in line] == [
        "parallel: left out, no space was searched",
        "importances: left out, an ablation has effects in place of importances",
    ]


def test_a_study_without_a_measurement_has_a_page(
    make_study: Callable[..., Study], tmp_path: Path, enter: Callable[..., TrialRecord]
) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {})
    assert "no trial has reached a rung" in report(records, "html")
    assert report(records, "latex").count("longtable}") == 3


@pytest.mark.slow
def test_a_browser_shows_the_page(ablation: StudyRecords, tmp_path: Path, browser: Any) -> None:
    (tmp_path / "report.html").write_text(report(ablation, "html"))
    browser.get_log("performance")
    browser.get((tmp_path / "report.html").as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent and all(address.startswith(("file:", "data:")) for address in sent)
    assert console_errors(browser) == []
    assert browser.find_element("css selector", "#effects svg").size["height"] > 100
    button = browser.find_element("css selector", "#ranking th:nth-child(5) button")
    for falling in (False, True):
        browser.execute_script("arguments[0].click()", button)
        cells = browser.find_elements("css selector", "#ranking tbody td:nth-child(5)")
        scores = [float(cell.text) for cell in cells]
        assert scores == sorted(scores, reverse=falling)
    head = browser.find_element("css selector", "#effects th:nth-child(4) button")
    order = "const rows = document.querySelector('#effects tbody').rows; rows[0].cells[3].textContent = '0.0300';"
    browser.execute_script(f"{order} rows[1].cells[3].textContent = '<0.0001*'; arguments[0].click()", head)
    cells = browser.find_elements("css selector", "#effects div:first-of-type tbody td:nth-child(4)")
    assert [cell.text for cell in cells][:2] == ["<0.0001*", "0.0300"], "by value, not by the sign"
    assert browser.save_screenshot(str(tmp_path / "report.png"))
    paper = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return [...document.querySelectorAll('details')].every((each) => each.open)")
    cut = "return [...document.querySelectorAll('.wide, .drawing, pre')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert browser.execute_script(f"{cut}.map((e) => e.textContent.slice(0, 60))") == [], "paper does not scroll"
    assert console_errors(browser) == []
