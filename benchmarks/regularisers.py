"""What a regulariser does to the rank of the features, on real images: plain against VICReg, SIGReg and C-JEPA.

    python benchmarks/regularisers.py [--images 6000] [--epochs 6] [--seeds 0 1] [--only sigreg ...]
        [--set path=value ...]

CIFAR-10 (HJEPA_DATA), the model of experiments/cifar10_tiny.yaml. Each variant has the plain objective's
draws, weights and data order, seed by seed. Reported of the evaluated encoder: effective rank of the centred
features of held-out images at the end, its ratio to the plain run of the same seed, probe accuracy, and the
norm of each term's gradient on the encoder at the last measurement, without which no weight can be chosen.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from hjepa.overrides import load_config
from hjepa.training import train

BASE = Path(__file__).parents[1] / "experiments" / "cifar10_tiny.yaml"
RANK, SCORE = "features.effective_rank", "probe.top1"
VARIANTS: dict[str, list[str]] = {
    "plain": [],
    "vicreg": ["objective.vicreg.weight=0.01"],
    "sigreg": ["objective.sigreg.weight=0.02"],
    "sigreg on context": ["objective.sigreg.weight=0.02", "objective.sigreg.on=context"],
    "cjepa": ["objective.cjepa.weight=0.001"],
}


def measured(settings: list[str], seed: int) -> dict[str, Any]:
    """The end of one run: its scores, its untrained encoder's, and the last gradient norms by term."""
    config = load_config(BASE, [*settings, f"seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, Path(folder))
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    gradients = [line for line in lines if line["kind"] == "gradient"][-1]
    norms = {name.rpartition(".")[2]: value for name, value in gradients.items() if name.startswith("encoder_")}
    return {"state": result["state"], "floor": result["floor"][RANK], **result["metrics"], "gradients": norms}


def row(name: str, runs: list[dict[str, Any]], plain: list[dict[str, Any]]) -> str:
    """One line of the table, over seeds."""
    ranks = " ".join(f"{run[RANK]:.1f}" for run in runs)
    ratios = " ".join(f"{run[RANK] / other[RANK]:.2f}" for run, other in zip(runs, plain, strict=True))
    score = statistics.mean(run[SCORE] for run in runs)
    terms = runs[0]["gradients"]
    norms = ", ".join(f"{term} {statistics.mean(run['gradients'][term] for run in runs):.2g}" for term in terms)
    states = ", ".join(sorted({run["state"] for run in runs}))
    return f"| {name} | {ranks} | {ratios} | {score:.3f} | {norms} | {states} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--set", nargs="+", default=[], metavar="PATH=VALUE")
    options = parser.parse_args()
    settings = [f"data.train_size={options.images}", f"training.epochs={options.epochs}"]
    settings += ["runtime.gradient_interval=10", *options.set]
    names = ["plain", *(name for name in options.only if name != "plain")]
    runs: dict[str, list[dict[str, Any]]] = {}
    print("| objective | effective rank, by seed | over plain | top-1 | gradient norms on the encoder | ended |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        runs[name] = [measured([*settings, *VARIANTS[name]], seed) for seed in options.seeds]
        print(row(name, runs[name], runs["plain"]), flush=True)
    floors = " ".join(f"{run['floor']:.1f}" for run in runs["plain"])
    print(f"\nuntrained: {floors}; {options.images} images, {options.epochs} epochs, seeds {options.seeds}")


if __name__ == "__main__":
    main()
