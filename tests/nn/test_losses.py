import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def log_softmax(z):
    return z - z.max(-1, keepdims=True) - np.log(
        np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)
    )  # fmt: skip


@pytest.fixture
def targets():
    return np.array([[0, 3, 2], [1, -100, 3]])


WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])


def reduced(losses, counts, reduction):
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / counts.sum()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
class TestClasses:
    def losses(self, log_probs, targets, weight):
        counts = (targets != -100) * (1 if weight is None else weight[targets.clip(0)])
        picked = np.take_along_axis(log_probs, targets.clip(0)[..., None], -1)[..., 0]
        return -picked * counts, counts

    def test_cross_entropy(self, weight, reduction, targets, draw, check_gradients):
        loss, logits = nn.CrossEntropyLoss(weight, reduction=reduction), draw(2, 3, 4)
        expected = reduced(*self.losses(log_softmax(logits.numpy()), targets, weight), reduction)
        np.testing.assert_allclose(loss(logits, targets).numpy(), expected, rtol=1e-12)
        check_gradients(lambda: loss(logits, targets), logits=logits)

    def test_nll(self, weight, reduction, targets, draw, check_gradients):
        loss, log_probs = nn.NLLLoss(weight, reduction=reduction), draw(2, 3, 4)
        expected = reduced(*self.losses(log_probs.numpy(), targets, weight), reduction)
        np.testing.assert_allclose(loss(log_probs, targets).numpy(), expected, rtol=1e-12)
        check_gradients(lambda: loss(log_probs, targets), log_probs=log_probs)


class TestCrossEntropy:
    def test_is_nll_of_log_softmax(self, targets, draw):
        logits = draw(2, 3, 4)
        options = {"weight": WEIGHT, "ignore_index": 3}
        targets = np.where(targets == -100, 3, targets)
        both = (
            nn.CrossEntropyLoss(**options)(logits, targets),
            nn.NLLLoss(**options)(mg.log_softmax(logits, -1), targets),
        )
        assert both[0].item() == pytest.approx(both[1].item(), rel=1e-12)

    def test_label_smoothing_and_axis(self, draw, check_gradients):
        logits, targets = draw(2, 4, 3), np.array([[0, 3, 2], [1, 1, 3]])
        log_probs = log_softmax(logits.numpy().swapaxes(1, 2))
        smooth = 0.9 * np.eye(4)[targets] + 0.1 / 4
        loss = nn.CrossEntropyLoss(label_smoothing=0.1, axis=1)
        value = loss(logits, targets)
        assert value.item() == pytest.approx(-(smooth * log_probs).sum() / 6, rel=1e-12)
        check_gradients(lambda: loss(logits, targets), logits=logits)

    def test_nothing_but_ignored_targets(self):
        logits = mg.tensor([[1.0, 2.0]], requires_grad=True)
        value = nn.CrossEntropyLoss()(logits, np.array([-100]))
        value.backward()
        assert value.item() == 0
        assert logits.grad.tolist() == [[0, 0]]


class TestOthers:
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_mse(self, reduction, draw, check_gradients):
        x, y, loss = draw(2, 3), draw(2, 3), nn.MSELoss(reduction)
        expected = reduced((x.numpy() - y.numpy()) ** 2, np.ones(6), reduction)
        np.testing.assert_allclose(loss(x, y).numpy(), expected, rtol=1e-12)
        check_gradients(lambda: loss(x, y), predictions=x, targets=y)

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("weights", [{}, {"weight": WEIGHT, "pos_weight": WEIGHT + 1}])
    def test_bce_with_logits(self, weights, reduction, rng, draw, check_gradients):
        loss = nn.BCEWithLogitsLoss(reduction=reduction, **weights)
        logits, targets = draw(3, 4), rng.uniform(size=(3, 4))
        p = 1 / (1 + np.exp(-logits.numpy()))
        weight, pos_weight = weights.get("weight", 1), weights.get("pos_weight", 1)
        losses = -weight * (pos_weight * targets * np.log(p) + (1 - targets) * np.log(1 - p))
        expected = reduced(losses, np.ones(12), reduction)
        np.testing.assert_allclose(loss(logits, targets).numpy(), expected, rtol=1e-10)
        check_gradients(lambda: loss(logits, targets), logits=logits)


LOSSES = [nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.BCEWithLogitsLoss]


@pytest.mark.parametrize("make", LOSSES)
class TestAnyLoss:
    def call(self, loss, logits):
        classes = isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss)
        return loss(logits, np.array([1]) if classes else np.array([[0.0, 1.0]], np.float32))

    def test_unknown_reduction(self, make):
        with pytest.raises(ValueError, match='reduction must be "mean", "sum" or "none", not'):
            make(reduction="avg")

    def test_float32_stays_float32(self, make):
        weights = {} if make is nn.MSELoss else {"weight": [1.0, 2.0]}
        logits = mg.tensor([[1.0, 2.0]], requires_grad=True)
        value = self.call(make(**weights), logits)
        value.backward()
        assert value.dtype == logits.grad.dtype == np.float32

    def test_has_no_parameters(self, make):
        assert make().parameters() == []
        assert make().state_dict() == {}


def test_class_weights_go_along_with_the_module():
    loss = nn.BCEWithLogitsLoss([1.0, 2.0], pos_weight=np.ones(2, np.float32))
    loss.to(dtype="float64")
    assert loss.weight.dtype == loss.pos_weight.dtype == np.float64
