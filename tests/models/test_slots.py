"""Claims: tokens are shared out over the slots; slots follow their start and not the order of the tokens; their
number is the output's; mean and spread of the start learn; the GRU is torch's; target slot s and predicted
slot s start alike."""

import pytest
import torch
from torch import nn

from hjepa.models.slots import SlotAttention, SlotPredictor, slot_targets
from hjepa.runtime.streams import initialise

TOKENS, SLOTS, WIDTH = 12, 5, 8


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def attention() -> SlotAttention:
    part = SlotAttention(6, WIDTH)
    initialise(part, 0, "slots", "xavier")
    return part


def test_each_token_is_shared_out_over_the_slots(attention: SlotAttention) -> None:
    shares = attention.shares(random(2, SLOTS, WIDTH), random(2, TOKENS, WIDTH))
    assert shares.shape == (2, SLOTS, TOKENS)
    assert torch.allclose(shares.sum(1), torch.ones(2, TOKENS), atol=1e-6)


def test_slots_permute_with_their_start(attention: SlotAttention) -> None:
    tokens, noise, order = random(2, TOKENS, 6), random(SLOTS, WIDTH), torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(attention(tokens, noise)[:, order], attention(tokens, noise[order]), atol=1e-5)


def test_the_order_of_tokens_does_not_matter(attention: SlotAttention) -> None:
    tokens, noise = random(2, TOKENS, 6), random(SLOTS, WIDTH)
    order = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(attention(tokens, noise), attention(tokens[:, order], noise), atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_their_number_is_that_of_the_output(attention: SlotAttention, count: int) -> None:
    assert attention(random(2, TOKENS, 6), random(count, WIDTH)).shape == (2, count, WIDTH)


def test_the_start_learns(attention: SlotAttention) -> None:
    attention(random(2, TOKENS, 6), random(SLOTS, WIDTH)).square().sum().backward()
    assert attention.mu.grad is not None and attention.mu.grad.any()
    assert attention.log_sigma.grad is not None and attention.log_sigma.grad.any()


def test_the_recurrent_unit_is_torchs(attention: SlotAttention) -> None:
    cell = nn.GRUCell(WIDTH, WIDTH)
    with torch.no_grad():
        for theirs, ours in (
            (cell.weight_ih, attention.gru_update.weight),
            (cell.weight_hh, attention.gru_slot.weight),
            (cell.bias_ih, attention.gru_update.bias),
            (cell.bias_hh, attention.gru_slot.bias),
        ):
            ours.copy_(theirs)
    update, slots = random(SLOTS, WIDTH), random(SLOTS, WIDTH, seed=1)
    assert torch.allclose(attention.gru(update, slots), cell(update, slots), atol=1e-6)


def test_slots_differ_by_image_and_by_slot(attention: SlotAttention) -> None:
    slots = attention(random(2, TOKENS, 6), random(SLOTS, WIDTH))
    assert not torch.allclose(slots[0], slots[1], atol=1e-3)
    assert not torch.allclose(slots[0, 0], slots[0, 1], atol=1e-3)


def test_prediction_and_target_have_one_start_and_the_target_is_normalised() -> None:
    predictor = SlotPredictor(6, WIDTH)
    initialise(predictor, 0, "slots", "xavier")
    tokens, noise = random(2, TOKENS, 6), random(SLOTS, WIDTH)
    target = slot_targets(predictor.slots, tokens, noise, normalises=True)
    assert torch.allclose(target.mean(-1), torch.zeros(()), atol=1e-5)
    assert torch.equal(slot_targets(predictor.slots, tokens, noise, normalises=False), predictor.slots(tokens, noise))
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(predictor(tokens, noise)[:, order], predictor(tokens, noise[order]), atol=1e-5)
