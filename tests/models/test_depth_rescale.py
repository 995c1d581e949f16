"""Claims: model.depth_rescale divides the weights that write to the residual stream in block l by sqrt(2 l), in
encoder, target and predictors, and leaves every other weight to the bit."""

import math

import torch

from hjepa.overrides import load_config
from hjepa.training.build import build_model

TINY = ["model.size=null", "model.width=32", "model.depth=3", "model.heads=2", "predictor.depth=2"]


def test_block_l_is_divided_by_the_root_of_2l() -> None:
    plain = build_model(load_config(None, TINY), 10).state_dict()
    scaled = build_model(load_config(None, [*TINY, "model.depth_rescale=true"]), 10).state_dict()
    rescaled = 0
    for name, weight in scaled.items():
        parts = name.split(".")
        if name.endswith(("attention.proj.weight", "fc2.weight")):
            layer = int(parts[parts.index("blocks") + 1]) + 1
            torch.testing.assert_close(weight, plain[name] / math.sqrt(2 * layer), rtol=1e-6, atol=0)
            rescaled += 1
        else:
            assert torch.equal(weight, plain[name]), name
    assert rescaled == 2 * (3 + 3 + 3 * 2), "encoder, target encoder, a predictor of each of three levels"
