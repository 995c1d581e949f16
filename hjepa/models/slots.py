"""Slots: an optional top level whose target is a set of slots that compete for the view's tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.models.blocks import reset
from hjepa.models.encoder import normalise

ITERATIONS = 3


class SlotAttention(nn.Module):
    """S slots that share out N tokens between them.

    Slots start at mu + exp(log_sigma) * noise; the noise is one draw a step, so that slots mean the same
    in all images of a batch. Three times: attention of the tokens over the slots
    (softmax over slots, then each slot's weights to sum 1), a GRU step of each slot towards its mean
    value, a residual MLP. In float32. Source: Slot Attention (arXiv 2006.15055), algorithm 1 and code;
    the GRU is written out, so that its weights are drawn as all linear maps are.
    """

    def __init__(self, token_width: int, width: int) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(width))
        self.log_sigma = nn.Parameter(torch.zeros(width))
        self.norm_tokens = nn.LayerNorm(token_width)
        self.norm_slots = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(token_width, width, bias=False)
        self.value = nn.Linear(token_width, width, bias=False)
        self.gru_update = nn.Linear(width, 3 * width)
        self.gru_slot = nn.Linear(width, 3 * width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        reset(self)

    def forward(self, tokens: Tensor, noise: Tensor) -> Tensor:
        """Tokens [B, N, D] and standard normal noise [S, W] -> slots [B, S, W]."""
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = self.norm_tokens(tokens.float())
            key, value = self.key(tokens), self.value(tokens)
            slots: Tensor = (self.mu + self.log_sigma.exp() * noise).expand(len(tokens), -1, -1)
            for _ in range(ITERATIONS):
                share = self.shares(slots, key) + 1e-8
                update = (share / share.sum(-1, keepdim=True)) @ value
                slots = self.gru(update, slots)
                slots = slots + self.fc2(F.relu(self.fc1(self.norm_mlp(slots))))
            return slots

    def shares(self, slots: Tensor, key: Tensor) -> Tensor:
        """How the tokens are shared between the slots, [B, S, N]; each token's shares sum to 1."""
        query = self.query(self.norm_slots(slots)) * key.shape[-1] ** -0.5
        shares: Tensor = (query @ key.transpose(1, 2)).softmax(1)
        return shares

    def gru(self, update: Tensor, slots: Tensor) -> Tensor:
        """One step of a gated recurrent unit with state `slots`, as `torch.nn.GRUCell`."""
        reset_in, gate_in, new_in = self.gru_update(update).chunk(3, -1)
        reset_by, gate_by, new_by = self.gru_slot(slots).chunk(3, -1)
        gate = torch.sigmoid(gate_in + gate_by)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
        out: Tensor = (1.0 - gate) * new + gate * slots
        return out


class SlotPredictor(nn.Module):
    """The student's slots of the context, mapped to a prediction of the target's slots of the whole view.

    Both sides start each slot from the same noise, and that matches them: slot s predicts slot s. A part of
    the target is therefore that start, which the prediction sees, too; `explained`, which compares with each
    slot's mean over the batch, leaves it out.
    Source: method D.6; there is no canonical recipe, the matching and this head are this project's own.
    """

    def __init__(self, token_width: int, width: int) -> None:
        super().__init__()
        self.slots = SlotAttention(token_width, width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        reset(self)

    def forward(self, context: Tensor, noise: Tensor) -> Tensor:
        """Context tokens [B, K, D] and noise [S, W] -> predicted slots [B, S, W]."""
        slots = self.slots(context, noise)
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(slots))))
        return out


def slot_targets(attention: SlotAttention, tokens: Tensor, noise: Tensor, normalises: bool) -> Tensor:
    """Slots [B, S, W] of the target encoder's tokens [B, N, D], layer-normalised if the targets are."""
    slots = attention(tokens, noise)
    return normalise(slots) if normalises else slots
