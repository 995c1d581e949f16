"""The layers of CONTRIBUTING.md hold: who may import whom, which libraries stay behind one fence, and sizes."""

import ast
import copy
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).parents[1] / "hjepa"

#: Lowest first. Packages of one line do not import each other where `SIBLINGS` says so.
LAYERS = [
    ["config"],
    ["overrides"],
    ["runtime"],
    ["data", "masks", "models", "objectives", "optim"],
    ["evaluation"],
    ["training"],
    ["search"],
    ["cli"],
]
#: The part of `search` that knows no engine, nor torch.
PURE = [
    "ablation.cells",
    "ablation.claims",
    "ablation.comparisons",
    "ablation.design_checks",
    "ablation.designs",
    "ablation.effects",
    "ablation.factorial",
    "ablation.factors",
    "ablation.fractional",
    "ablation.keys",
    "ablation.outline",
    "ablation.path",
    "ablation.power",
    "ablation.statistics",
    "analysis",
    "budget",
    "confirmation",
    "cost_classes",
    "costs",
    "durations",
    "estimate",
    "execution.order",
    "execution.tether",
    "export",
    "extension",
    "files",
    "frame",
    "health",
    "goals",
    "lineage",
    "live",
    "owner",
    "plan",
    "proposed",
    "records",
    "refusals",
    "reports.ablation",
    "reports.details",
    "reports.factorial",
    "reports.figure_curves",
    "reports.figure_scores",
    "reports.figure_style",
    "reports.figures",
    "reports.goals",
    "reports.importance",
    "reports.latex",
    "reports.levels",
    "reports.numbers",
    "reports.page",
    "reports.population",
    "reports.report",
    "reports.stopping",
    "reports.tables",
    "reports.untrained",
    "roles",
    "retries",
    "reuse",
    "roster",
    "same_study",
    "schema",
    "sections",
    "selection",
    "snapshot",
    "space",
    "space_file",
    "states",
    "status",
    "stopping.brackets",
    "stopping.curve_rules",
    "stopping.expected",
    "stopping.fidelity",
    "stopping.halving",
    "stopping.population",
    "stopping.replay",
    "stopping.rule",
    "stopping.schedulers",
    "study",
    "tracking.address",
    "tracking.naming",
    "tracking.values",
    "trial_record",
    "warm_start",
    "watch",
]
#: Light modules below it that it may use.
FREE = ("hjepa.config", "hjepa.overrides", "hjepa.runtime.environment", "hjepa.runtime.files")
#: Library -> the only modules that may import it.
FENCES = {
    "optuna": {"sampler", "importances"},
    "ray": {f"execution.{name}" for name in ("adapters", "deaths", "nested", "runner", "session", "trainable")},
    "matplotlib": {"reports.figures", "reports.figure_style", "reports.figure_scores", "reports.figure_curves"},
    "jinja2": {"reports.page"},
    "mlflow": {"tracking.model", "tracking.source", "tracking.store"},
}
#: Engines that a pure module calls, and imports only then: (module, engine).
LAZY = [("reports.importance", "importances")]
#: Too heavy or too particular for what must load quickly anywhere.
HEAVY = ["torch", "ray", "optuna", "mlflow"]
BANNED = {"utils", "util", "helpers", "common", "misc"}
MAX_FILE, MAX_FUNCTION = 400, 60


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("hjepa", include_external_packages=True, cache_dir=None)


@pytest.fixture(scope="module")
def eager(graph: grimp.ImportGraph) -> grimp.ImportGraph:
    """What is imported when a module is loaded."""
    found = copy.deepcopy(graph)
    for module, engine in LAZY:
        found.remove_import(importer=f"hjepa.search.{module}", imported=f"hjepa.search.{engine}")
    return found


def test_every_package_has_a_layer() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == {name for layer in LAYERS for name in layer}


def test_lower_layers_import_nothing_above_and_siblings_nothing_of_each_other(graph: grimp.ImportGraph) -> None:
    layers = [grimp.Layer(*[f"hjepa.{name}" for name in layer], independent=True) for layer in reversed(LAYERS)]
    illegal = graph.find_illegal_dependencies_for_layers(layers)
    assert not illegal, [f"{found.importer} -> {found.imported}" for found in illegal]


def test_pure_search_knows_no_engine(eager: grimp.ImportGraph) -> None:
    pure = [f"hjepa.search.{name}" for name in PURE]
    for module in pure:
        assert module in eager.modules
        foreign = {name for name in eager.find_modules_directly_imported_by(module) if name.startswith("hjepa.")}
        foreign = {name for name in foreign if name not in pure and not name.startswith(FREE)}
        assert not foreign, f"{module} imports {foreign}"


@pytest.mark.parametrize("library", sorted(FENCES))
def test_each_engine_stays_behind_its_fence(graph: grimp.ImportGraph, library: str) -> None:
    allowed = {f"hjepa.search.{name}" for name in FENCES[library]}
    assert graph.find_modules_that_directly_import(library) == allowed


def test_what_must_load_quickly_reaches_no_heavy_library(eager: grimp.ImportGraph) -> None:
    light = [f"hjepa.search.{name}" for name in PURE] + ["hjepa.config", "hjepa.overrides"]
    for library in HEAVY:
        for package in light:
            chain = eager.find_shortest_chain(package, library) if library in eager.modules else None
            assert chain is None, " -> ".join(chain or ())
    code = f"import sys, {', '.join(light)}; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_command_waits_for_torch_alone() -> None:
    code = "import sys, hjepa.training; print([n for n in ('torchvision', 'sklearn', 'scipy') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_no_import_cycles(graph: grimp.ImportGraph) -> None:
    own = {name for name in graph.modules if name.split(".")[0] == "hjepa"}
    imports = {name: graph.find_modules_directly_imported_by(name) & own for name in own}
    while leaves := [name for name, imported in imports.items() if not imported]:
        imports = {name: imported - set(leaves) for name, imported in imports.items() if name not in leaves}
    assert not imports, f"in or above a cycle: {sorted(imports)}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sizes_and_names(path: Path) -> None:
    text = path.read_text()
    assert path.stem not in BANNED
    assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{node.name}: {length} lines"
