"""Whether two study files are one study, so that one may go on in the directory of the other."""

from collections.abc import Mapping
from typing import Any

from hjepa.overrides import knobs, shown
from hjepa.search.sections import SchedulerSpec

#: What may change when a study goes on.
EXTENSIBLE = (
    *("budget.device_hours", "budget.total_epochs", "warm_start"),
    *("seeds", "resources", "faults", "max_concurrent", "budget.trials", "budget.epochs", "budget.hours"),
    *("claims", "ablation.seed_sd", "ablation.margin"),  # only say how an ablation is planned and judged
)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What makes `after` another study than `before` (both as in study.yaml), in words; at most four."""
    old, new = _flat(before), _flat(after)
    differing = [
        f"{path} {_words(old, path)} there, {_words(new, path)} here"
        for path in dict.fromkeys([*old, *new])
        if old.get(path, _ABSENT) != new.get(path, _ABSENT)
    ]
    lost = [str(seed) for seed in before.get("seeds", []) if seed not in after.get("seeds", [])]
    if lost:
        differing.append(f"seeds {', '.join(lost)} there, not here")
    more = [f"and {len(differing) - 3} more"] if len(differing) > 4 else []
    return [*differing[:3], *more] if more else differing


_ABSENT = object()


def _words(flat: Mapping[str, Any], path: str) -> str:
    return shown(flat[path]) if path in flat else "absent"


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that makes the study, one level deep; settings that never change a result are left out."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        if not isinstance(value, Mapping):
            flat[key] = value
            continue
        # An older record lacks the scheduler's keys and the fields that came later: they had their defaults.
        leaves = SchedulerSpec.model_validate(value).acting() if key == "scheduler" else value
        leaves = {"optim.changes": None, **leaves} if key == "base" else leaves
        leaves = {"at": "final_budget", **leaves} if key == "objective" else leaves
        for name, leaf in leaves.items():
            knob = knobs().get(name) if key == "base" else None
            if knob is None or knob.effect != "runtime_exact":
                flat[name if key == "base" else f"{key}.{name}"] = leaf
    return {
        path: value
        for path, value in flat.items()
        if path.partition(".")[0] not in EXTENSIBLE and path not in EXTENSIBLE
    }
