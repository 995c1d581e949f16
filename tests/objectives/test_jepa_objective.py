"""Claims: the loss is the weighted mean over valid cells; its parts add up over micro-batches; a level of
weight 0 has no gradient; adaptive weights follow from the losses and are reported; `explained` is R squared against
the batch mean at the same cell."""

import pytest
import torch
from torch.nn import functional as F

from hjepa.config import ObjectiveConfig
from hjepa.objectives import JepaObjective, Material, explained


def levels() -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor | None]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 10, 8), (6, 4, 8)]
    predictions = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    targets = [torch.randn(shape, generator=generator) for shape in shapes]
    return predictions, targets, [None, torch.rand(6, 4, generator=generator) > 0.5]


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("smooth_l1", F.smooth_l1_loss),
        ("mse", F.mse_loss),
        ("l1", F.l1_loss),
        ("cosine", lambda p, t: (1 - F.cosine_similarity(p, t, dim=-1)).mean()),
    ],
)
def test_loss_is_the_weighted_mean(kind: str, function: object) -> None:
    predictions, targets, valid = levels()
    objective = JepaObjective(ObjectiveConfig.model_validate({"loss": kind}), (1.0, 0.5))
    terms = objective(Material(predictions, targets, valid, [60.0, float(valid[1].sum())]))
    first = function(predictions[0], targets[0])
    second = function(predictions[1][valid[1]], targets[1][valid[1]])
    assert torch.allclose(terms.total, (first + 0.5 * second) / 1.5)
    assert torch.allclose(terms.named["loss.level1"], second)


def test_parts_of_a_batch_add_up() -> None:
    predictions, targets, valid = levels()
    objective = JepaObjective(ObjectiveConfig(), (1.0, 0.5))
    counts = [60.0, float(valid[1].sum())]
    whole = objective(Material(predictions, targets, valid, counts)).total
    parts = [
        objective(Material([p[r] for p in predictions], [t[r] for t in targets], [None, valid[1][r]], counts)).total
        for r in (slice(0, 2), slice(2, 6))
    ]
    assert torch.allclose(whole, parts[0] + parts[1])


def test_weight_zero_has_no_gradient_and_an_empty_level_no_loss() -> None:
    predictions, targets, valid = levels()
    JepaObjective(ObjectiveConfig(), (1.0, 0.0))(Material(predictions, targets, valid, [60.0, 12.0])).total.backward()
    assert predictions[1].grad.abs().sum() == 0 and predictions[0].grad.abs().sum() > 0
    empty = torch.zeros(6, 4, dtype=torch.bool)
    terms = JepaObjective(ObjectiveConfig(), (1.0, 1.0))(Material(predictions, targets, [None, empty], [60.0, 0.0]))
    assert terms.named["loss.level1"] == 0 and torch.isfinite(terms.total)


def weighed(**settings: object) -> JepaObjective:
    return JepaObjective(ObjectiveConfig.model_validate(settings), (1.0, 0.5))


def test_each_level_has_its_weight_in_the_report() -> None:
    predictions, targets, valid = levels()
    counts = [60.0, float(valid[1].sum())]
    fixed = weighed()(Material(predictions, targets, valid, counts))
    assert fixed.facts == {"weight.level0": pytest.approx(2 / 3), "weight.level1": pytest.approx(1 / 3)}
    one = JepaObjective(ObjectiveConfig(), (1.0,))
    assert one(Material(predictions[:1], targets[:1], valid[:1], counts[:1])).facts == {}
    adaptive = weighed(weighting="uwso", uwso_temperature=2.0)(Material(predictions, targets, valid, counts))
    losses = [float(adaptive.named[f"loss.level{level}"]) for level in (0, 1)]
    expected = torch.tensor([1 / loss / 2.0 for loss in losses]).softmax(0)
    assert torch.allclose(torch.stack(list(adaptive.facts.values())), expected)
    assert torch.allclose(adaptive.total, sum(w * loss for w, loss in zip(expected, losses, strict=True)))


def test_a_very_warm_uwso_is_equal_weights() -> None:
    predictions, targets, valid = levels()
    material = Material(predictions, targets, valid, [60.0, float(valid[1].sum())])
    equal = JepaObjective(ObjectiveConfig(), (1.0, 1.0))(material)
    warm = weighed(weighting="uwso", uwso_temperature=1e9)(material)
    assert torch.allclose(warm.total, equal.total)
    ours, theirs = (torch.autograd.grad(terms.total, predictions, retain_graph=True) for terms in (warm, equal))
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_kendall_is_half_the_sum_at_first_and_its_parts_add_up() -> None:
    predictions, targets, valid = levels()
    counts = [60.0, float(valid[1].sum())]
    start = torch.zeros(2, requires_grad=True)
    whole = weighed(weighting="kendall")(Material(predictions, targets, valid, counts, start))
    losses = torch.stack([whole.named[f"loss.level{level}"] for level in (0, 1)])
    assert torch.allclose(whole.total, 0.5 * losses.sum())
    (gradient,) = torch.autograd.grad(whole.total, start)
    assert torch.allclose(gradient, 0.5 - 0.5 * losses)
    scales = torch.tensor([0.5, -1.0])
    whole = weighed(weighting="kendall")(Material(predictions, targets, valid, counts, scales))
    parts = []
    for rows in (slice(0, 2), slice(2, 6)):
        cut = [p[rows] for p in predictions], [t[rows] for t in targets], [None, valid[1][rows]]
        share = (rows.stop - rows.start) / 6
        parts.append(weighed(weighting="kendall")(Material(*cut, counts, scales, share=share)).total)
    assert torch.allclose(whole.total, parts[0] + parts[1])
    assert torch.allclose(torch.stack(list(whole.facts.values())), 0.5 * (-scales).exp())


def test_explained() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 5, (40, 3), generator=generator)
    target = torch.randn(40, 3, 8, generator=generator)
    means = torch.stack([target[cells == cell].mean(0) for cell in range(5)])
    assert abs(float(explained(means[cells], target, cells, None))) < 1e-6
    assert float(explained(target, target, cells, None)) == 1.0
    assert float(explained(-target, target, cells, None)) < 0
