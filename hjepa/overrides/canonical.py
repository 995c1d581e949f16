"""The canonical form of a Config: what identifies a trial, and what is written to YAML."""

import hashlib
import json
from typing import Any

from hjepa.config import Config
from hjepa.overrides import yaml12
from hjepa.overrides.fields import knobs, live
from hjepa.overrides.resolve import nest, values_of

#: Bumped whenever the golden fingerprint of the baseline moves.
METHOD_VERSION = 1


def canonical(config: Config) -> dict[str, Any]:
    """The live training and evaluation fields by dotted path: all that decides a score.

    Named sizes and default weights are written out, so that two spellings of one model agree.
    """
    values = values_of(config)
    chosen = {
        path: values[path]
        for path, knob in knobs().items()
        if knob.effect in ("training", "evaluation") and live(knob, values) is None
    }
    chosen.pop("model.size", None)
    chosen["model.width"], chosen["model.depth"], chosen["model.heads"] = config.model.shape
    if "objective.level_weights" in chosen:
        chosen["objective.level_weights"] = list(config.level_weights)
    chosen["evaluation.interval"] = config.probe_interval
    chosen["evaluation.size"] = config.evaluated_views.size
    if "model.rope_theta" in chosen:
        chosen["model.rope_theta"] = config.model.theta
    if config.optim.changes is None:  # off is absent, also where it came after trials were named
        chosen.pop("optim.changes")
    if config.data.shares:
        chosen["data.probe"] = config.data.probed
        chosen |= {f"data.mixture.{name}": share for name, share in config.data.shares.items()}
    return {path: _number(chosen[path]) for path in sorted(chosen)}


def _number(value: Any) -> Any:
    """1 and 1.0 are one value."""
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, dict):
        return {name: _number(item) for name, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def identity(config: Config, fingerprint: str) -> str:
    """The hash that names a trial: canonical fields, data fingerprint and method version; 16 hex digits."""
    content = {"fields": canonical(config), "data": fingerprint, "method": METHOD_VERSION}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(config: Config) -> dict[str, Any]:
    """The fields that differ from the defaults, by dotted path."""
    return {path: value for path, value in values_of(config).items() if value != knobs()[path].default}


def to_yaml(config: Config) -> str:
    """The experiment file of a Config: only what differs from the defaults."""
    return yaml12.dump(nest(differences(config))) if differences(config) else "{}\n"
