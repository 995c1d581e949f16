"""The projector: pooled embeddings -> the space in which the terms compare them."""

import itertools

import torch
from torch import Tensor, nn
