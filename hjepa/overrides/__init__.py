"""YAML and dotted overrides -> Config; its canonical form and hash."""

from hjepa.overrides.canonical import METHOD_VERSION, canonical, differences, identity, to_yaml
from hjepa.overrides.errors import ConfigError, nearest, problem, shown
from hjepa.overrides.fields import Knob, knobs, live
from hjepa.overrides.resolve import (
    Layer,
    file_layer,
    flatten,
    load_config,
    nest,
    override_layer,
    resolve,
    values_of,
)

__all__ = [
    "METHOD_VERSION",
    "ConfigError",
    "Knob",
    "Layer",
    "canonical",
    "differences",
    "file_layer",
    "flatten",
    "identity",
    "knobs",
    "live",
    "load_config",
    "nearest",
    "nest",
    "override_layer",
    "problem",
    "resolve",
    "shown",
    "to_yaml",
    "values_of",
]
