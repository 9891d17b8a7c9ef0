"""Devices: names, errors, moving, the default device, DLPack; on a GPU, or the double of CuPy."""

from __future__ import annotations

import copy
import operator
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.arrays import devices
from minigrad.testing import check_gradients, check_layer

on_a_device = pytest.mark.device


@pytest.fixture
def explicit():
    """Without a default device: nothing moves unless it is said to."""
    default = mg.get_default_device()
    mg.set_default_device("cpu")
    yield
    mg.set_default_device(default)


# ------------------------------------------------------------------ names and what is missing


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CUDA", "", 0])
def test_a_device_that_has_no_such_name(name):
    with pytest.raises(ValueError, match=r'expected "cpu" or "cuda", got'):
        mg.tensor([1.0], device=name)


@pytest.fixture
def without_gpus(monkeypatch):
    """As on a machine on which nobody has asked for a GPU yet."""
    monkeypatch.setattr(devices, "gpus", [])


@pytest.mark.host(reason="it hides CuPy")
@pytest.mark.usefixtures("without_gpus")
class TestWithoutAGPU:
    def test_no_cupy(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        for call in (
            lambda: mg.tensor([1.0], device="cuda"),
            lambda: mg.tensor([1.0]).to("cuda:1"),
            lambda: nn.Linear(2, 2).to("cuda"),
            lambda: mg.set_default_device("cuda"),
            lambda: mg.cuda.memory_stats(),
        ):
            with pytest.raises(RuntimeError, match=r'needs CuPy.*install "minigrad-rnn\[gpu\]"'):
                call()
        assert mg.get_default_device() == "cpu"
        assert not mg.cuda.is_available()
        assert mg.cuda.device_count() == 0

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (0, "0 GPUs were found"),
            (RuntimeError("driver version is insufficient"), "insufficient"),
        ],
    )
    def test_no_gpu_or_driver(self, monkeypatch, answer, told):
        def count():
            if isinstance(answer, Exception):
                raise answer
            return answer

        runtime = types.SimpleNamespace(getDeviceCount=count)
        cuda = types.SimpleNamespace(is_available=lambda: False, runtime=runtime)
        fake = types.SimpleNamespace(cuda=cuda, __version__="14.2.0")
        monkeypatch.setitem(sys.modules, "cupy", fake)
        with pytest.raises(
            RuntimeError, match=f"CuPy 14.2.0 cannot use a GPU here.*{told}.*CUDA 13"
        ):
            mg.zeros(3, device="cuda")
        assert not mg.cuda.is_available()

    def test_cupy_is_not_imported_unless_asked_for(self):
        code = (
            "import sys, minigrad as mg; from minigrad import nn, optim\n"
            "net = nn.LSTM(3, 4); mg.set_default_device('cpu')\n"
            "y, _ = net(mg.ones((2, 1, 3)).to('cpu')); y.sum().backward()\n"
            "optim.Adam(net.parameters()).step(); mg.cuda\n"
            "assert 'cupy' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("", "cpu"),
            ("cpu", "cpu"),
            ("cuda:3", "cuda:3"),
            ("gpu", "device: expected"),
        ],
    )
    def test_the_environment_says_what_the_default_is(self, value, told):
        code = "import minigrad as mg; print(mg.get_default_device())"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MINIGRAD_DEVICE": value},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told in done.stdout + done.stderr

    def test_matmul_precision_is_one_of_two_words(self):
        with pytest.raises(ValueError, match=r"expected one of.*'highest', 'high'.*'medium'"):
            mg.cuda.set_float32_matmul_precision("medium")

    def test_what_is_asked_of_a_gpu_is_not_asked_of_the_cpu(self):
        with pytest.raises(ValueError, match='expected "cuda"'):
            mg.cuda.synchronize("cpu")


# --------------------------------------------------------------------------------- DLPack


@pytest.mark.host(reason="it is about arrays of NumPy")
class TestDLPack:
    def test_from_numpy_without_a_copy(self):
        x = np.arange(6.0).reshape(2, 3)
        t = mg.from_dlpack(x)
        assert (t.dtype, t.shape, t.requires_grad, t.device) == (np.float64, (2, 3), False, "cpu")
        x[0, 0] = 7
        assert t[0, 0].item() == 7

    def test_to_numpy_without_a_copy(self):
        t = mg.tensor([1.0, 2.0])
        x = np.from_dlpack(t)
        assert np.shares_memory(x, t.data)
        assert t.__dlpack_device__() == (1, 0)
        assert np.shares_memory(mg.from_dlpack(t).data, t.data)

    def test_a_tensor_on_the_tape_is_not_handed_over(self):
        with pytest.raises(TypeError, match="detach"):
            np.from_dlpack(mg.tensor([1.0], requires_grad=True))

    def test_what_runs_backwards_is_not_handed_over(self):
        with pytest.raises(BufferError, match=r"\.copy\(\)"):
            np.from_dlpack(mg.tensor([1.0, 2.0])[::-1])

    def test_what_is_no_array(self):
        with pytest.raises(TypeError, match="expected an array with __dlpack__, got list"):
            mg.from_dlpack([1.0])
        with pytest.raises(TypeError, match="real numbers"):
            mg.from_dlpack(np.array([1j]))

    def test_other_kinds_of_device(self):
        there = types.SimpleNamespace(__dlpack__=None, __dlpack_device__=lambda: (10, 0))
        with pytest.raises(ValueError, match="on the CPU or a CUDA GPU, got kind 10"):
            mg.from_dlpack(there)


# --------------------------------------------------------------------------- on a device


@on_a_device
@pytest.mark.usefixtures("explicit")
class TestMoving:
    def test_there_and_back(self):
        x = mg.tensor([[1.0, 2.0]], requires_grad=True)
        y = x.to("cuda")
        assert (x.device, y.device) == ("cpu", "cuda:0")
        assert mg.tensor([1.0], device="cuda").device == "cuda:0"
        z = (y * y).to("cpu")
        assert z.device == "cpu"
        np.testing.assert_array_equal(z.numpy(), [[1.0, 4.0]])
        z.sum().backward()
        assert x.grad.device == "cpu"
        np.testing.assert_array_equal(x.grad.numpy(), [[2.0, 4.0]])

    def test_what_is_there_already_is_not_copied(self):
        y = mg.ones(3, device="cuda")
        assert y.to("cuda") is y
        assert y.to("cuda:0") is y
        assert mg.Tensor(y).data is y.data

    def test_a_module_keeps_its_parameters_and_their_gradients(self):
        net = nn.Linear(2, 3)
        net(mg.ones((1, 2))).sum().backward()
        parameters = net.parameters()
        net.to("cuda")
        assert net.parameters() == parameters
        assert {p.device for p in parameters} == {p.grad.device for p in parameters} == {"cuda:0"}
        assert net(mg.ones((1, 2), device="cuda")).device == "cuda:0"
        assert isinstance(net.state_dict()["weight"], np.ndarray)
        net.load_state_dict({"weight": np.ones((3, 2)), "bias": np.zeros(3)})
        assert net.weight.device == "cuda:0"
        assert net.to("cpu").weight.device == "cpu"

    def test_repr_names_the_device(self):
        assert repr(mg.ones(2, device="cuda")) == (
            "Tensor([1., 1.], dtype=float32, device='cuda:0')"
        )

    def test_numpy_does_not_fetch_silently(self):
        x = mg.ones(2, device="cuda")
        with pytest.raises(TypeError, match=r"on cuda:0 is not silently copied.*\.numpy\(\)"):
            np.asarray(x)
        assert isinstance(x.numpy(), np.ndarray)

    def test_no_such_gpu(self):
        with pytest.raises(ValueError, match=r"there is no 'cuda:99' here, only \"cuda:0\""):
            mg.ones(1, device="cuda:99")

    def test_what_is_known_of_a_gpu(self):
        assert mg.cuda.is_available()
        assert mg.cuda.device_count() >= 1
        assert mg.cuda.device_name()
        mg.cuda.synchronize()
        before = mg.cuda.memory_stats()["allocated"]
        x = mg.zeros(1 << 20, device="cuda")
        stats = mg.cuda.memory_stats("cuda:0")
        assert stats["allocated"] - before >= x.nbytes
        assert stats["reserved"] >= stats["allocated"]
        assert stats["total"] >= stats["free"] > 0
        mg.cuda.empty_cache()


MIXED = {
    "multiply: x1 (float32 (2,)) is on cpu, x2 (float32 (2,)) on cuda:0": lambda c, g: c * g,
    "add: x1 (float32 (2,)) is on cuda:0, x2 (float32 (2,)) on cpu": lambda c, g: g + c,
    "add: x1 (float32 (2,)) is on cuda:0, x2 (float64 (2,)) on cpu": lambda c, g: g + np.ones(2),
    "concatenate: arrays[0] (float32 (2,)) is on cuda:0, arrays[1] (float32 (2,)) on cpu": (
        lambda c, g: mg.concatenate([g, c])
    ),
    "getitem: a (float32 (2,)) is on cuda:0, index (int64 (1,)) on cpu": (
        lambda c, g: g[np.array([0])]
    ),
    "where: condition (bool (2,)) is on cpu, x (float32 (2,)) on cuda:0": (
        lambda c, g: mg.where(np.array([True, False]), g, 0.0)
    ),
    "gt: self (float32 (2,)) is on cuda:0, other (float32 (2,)) on cpu": lambda c, g: g > c,
    "embedding: ids (int64 (1,)) is on cpu, weight (float32 (2, 1)) on cuda:0": (
        lambda c, g: mg.embedding(np.array([0]), g[:, None])
    ),
    "cross_entropy: logits (float32 (1, 2)) is on cuda:0, targets (int64 (1,)) on cpu": (
        lambda c, g: mg.cross_entropy(g[None], np.array([0]))
    ),
    "setitem: self (float32 (2,)) is on cuda:0, value (float32 (2,)) on cpu": (
        lambda c, g: g.__setitem__(slice(None), c)
    ),
    "setitem: self (float32 (2,)) is on cuda:0, index (int64 (1,)) on cpu": (
        lambda c, g: g.__setitem__(np.array([0]), 1.0)
    ),
    "equal: argument 0 (float64 (2,)) is on cpu, argument 1 (float32 (2,)) on cuda:0": (
        lambda c, g: np.ones(2) == g
    ),
    "allclose: a (float32 (2,)) is on cuda:0, b (float64 (2,)) on cpu": (
        lambda c, g: np.allclose(g, np.ones(2))
    ),
}


@on_a_device
@pytest.mark.usefixtures("explicit")
@pytest.mark.parametrize("message", MIXED)
def test_mixed_devices_raise_and_name_both(message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}; nothing moves by itself"):
        MIXED[message](mg.ones(2), mg.ones(2, device="cuda"))


@on_a_device
@pytest.mark.usefixtures("explicit")
def test_the_advice_is_to_move_what_is_on_the_cpu():
    net = nn.Linear(2, 3)
    for call in (
        lambda: net(mg.ones((1, 2), device="cuda")),
        lambda: nn.Linear(2, 3).to("cuda")(mg.ones((1, 2))),
    ):
        with pytest.raises(ValueError, match=r"put (weight|x) on cuda:0: .* by \.to\('cuda:0'\)"):
            call()


@on_a_device
class TestOwnOps:
    def test_one_that_gives_an_array_of_the_host_is_told_so(self):
        @mg.differentiable(x=lambda g: g)
        def fetched(x):
            return mg.Tensor(x).numpy()

        @mg.joint(backward=lambda g: g, inputs=["x"])
        def fetched_twice(x):
            return (x, mg.Tensor(x).numpy()), None

        for op in (fetched, fetched_twice):
            with pytest.raises(ValueError, match=rf"{op.__name__}: .*gave one on the CPU.*array_m"):
                op(mg.ones(2))

    def test_a_rule_that_does_is_named(self):
        @mg.differentiable(x=lambda g: mg.Tensor(g).numpy())
        def wrong(x):
            return x * 1

        y = wrong(mg.tensor([1.0], requires_grad=True)).sum()
        with pytest.raises(mg.TapeError, match="wrong: a rule gave a gradient on cpu, but its op"):
            y.backward()


@on_a_device
@pytest.mark.usefixtures("explicit")
def test_lists_and_numbers_go_where_they_are_needed():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cuda")
    for y in (
        operator.add(x, [1.0, 2.0]),
        operator.mul([1.0, 2.0], x),
        x + np.float64(2),
        x * np.array(2.0),
        x[[1, 0]],
        x[:, [True, False]],
        mg.take(x, [0, 1]),
        mg.repeat(x, 2, 0),
        mg.pad(x, 1, mode="edge"),
        mg.pad(x, np.array([1, 2])),
        mg.embedding([0, 1], x),
        mg.cross_entropy(x, [0, 1], weight=[1.0, 2.0]),
        mg.where(x > [2.0, 1.0], x, 0.0),
        mg.where([True, False], x, 0.0),
        mg.where(True, x, 0.0),
        x * np.bool_(True),
        mg.mse_loss(x, [[1.0, 2.0], [3.0, 4.0]]),
        mg.clip(x, [1.0, 2.0], None),
        mg.einsum("ij,j->i", x, [1.0, 2.0]),
        nn.Linear(2, 3).to("cuda")([[1.0, 2.0]]),
        nn.GRU(2, 3).to("cuda")([[[1.0, 2.0]]])[0],
        x.at[[0, 0]].add(1.0),
    ):
        assert (y.device, y.dtype) == ("cuda:0", np.float32)


@on_a_device
def test_the_default_device_is_for_what_comes_from_the_host():
    mg.set_default_device("cpu")
    c = mg.ones(2)
    mg.set_default_device("cuda")
    assert mg.get_default_device() == "cuda"
    assert mg.Tensor(c).device == "cpu"
    made = [mg.tensor(2.0), mg.tensor(np.ones(2)), mg.zeros(3), nn.LSTM(2, 3).weight_hh_l0]
    made += [mg.tanh(1.0), mg.tensor([1.0]) + np.ones(1), mg.add([1.0], [2.0])]
    made += [mg.tensor([1.0, 2.0])[np.array([1])]]
    assert {x.device for x in made} == {"cuda:0"}
    with pytest.raises(ValueError, match="is on cpu"):
        operator.add(c, mg.ones(2))
    assert mg.tensor([1.0], device="cpu").device == "cpu"
    assert isinstance(mg.tanh(np.ones(2)), np.ndarray)  # bare arrays stay what they are
    here = [c + np.ones(2), c[np.array([0])], mg.tensor(c), copy.deepcopy(c), c == np.ones(2)]
    here += [mg.zeros_like(c), nn.LSTM(2, 3).to("cpu")(c.reshape(1, 1, 2))[0]]
    here += [nn.Embedding(3, 2, dropout=0.5).to("cpu")(mg.tensor([1], int, device="cpu"))]
    shared = np.zeros(2)
    here.append(mg.from_dlpack(shared))
    assert {x.device for x in here} == {"cpu"}  # and so do Tensors, and what is beside them
    shared[0] = 1
    assert here[-1][0].item() == 1


@on_a_device
@pytest.mark.usefixtures("explicit")
def test_the_checkers_work_where_their_arguments_are():
    def f(x):
        assert x.device == "cuda:0"
        return mg.tanh(x).sum(0)

    check_gradients(f, mg.tensor(np.ones((2, 3)), device="cuda"), order=2)
    check_layer(nn.Linear(2, 3).to("cuda"), mg.ones((4, 2), device="cuda"))


@on_a_device
@pytest.mark.usefixtures("explicit")
class TestIdsOutOfRange:
    """Nobody looks at ids on a GPU; what comes of a wrong one can be seen."""

    @pytest.mark.parametrize("wrong", [-1, 3, 1 << 40])
    def test_embedding(self, wrong):
        weight = mg.tensor(np.ones((3, 2), np.float32), device="cuda", requires_grad=True)
        y = mg.embedding(mg.tensor([0, wrong, 2], int, device="cuda"), weight)
        np.testing.assert_array_equal(np.isnan(y.numpy()).any(1), [False, True, False])
        y.sum().backward()
        np.testing.assert_array_equal(weight.grad.numpy(), [[1, 1], [0, 0], [1, 1]])

    @pytest.mark.parametrize("wrong", [-1, 3])
    def test_losses(self, wrong):
        logits = mg.tensor(np.zeros((2, 3), np.float32), device="cuda")
        targets = mg.tensor([0, wrong], int, device="cuda")
        losses = mg.cross_entropy(logits, targets, reduction="none").numpy()
        np.testing.assert_array_equal(np.isnan(losses), [False, True])
        weight = mg.tensor(np.ones((3, 3), np.float32), device="cuda")
        assert np.isnan(mg.linear_cross_entropy(logits, weight, None, targets).item())

    def test_ignored_targets_are_not_wrong(self):
        logits = mg.tensor(np.zeros((2, 3), np.float32), device="cuda", requires_grad=True)
        loss = mg.cross_entropy(logits, mg.tensor([0, -100], int, device="cuda"))
        loss.backward()
        np.testing.assert_allclose(loss.item(), np.log(3), rtol=1e-6)
        assert not logits.grad.numpy()[1].any()

    def test_with_weights_in_float16_and_as_log_probabilities(self):
        targets = mg.tensor([0, 7], int, device="cuda")
        logits = mg.tensor(np.zeros((2, 3), np.float32), device="cuda")
        for losses in (
            mg.cross_entropy(logits, targets, weight=[1.0, 2.0, 3.0], reduction="none"),
            mg.cross_entropy(logits.astype("float16"), targets, reduction="none"),
            mg.nll_loss(logits, targets, reduction="none"),
        ):
            np.testing.assert_array_equal(np.isnan(losses.numpy()), [False, True])
        rows = mg.embedding(targets, mg.ones((3, 2), dtype=np.float16, device="cuda")).numpy()
        np.testing.assert_array_equal(np.isnan(rows).any(1), [False, True])

    def test_the_derivative_under_create_graph_shows_it_too(self):
        logits = mg.tensor(np.zeros((2, 3), np.float32), device="cuda", requires_grad=True)
        loss = mg.cross_entropy(logits, mg.tensor([0, 7], int, device="cuda"))
        (g,) = mg.grad(loss, logits, create_graph=True)
        assert np.isnan(g.numpy()).any()


@on_a_device
def test_a_hook_cannot_change_the_one_that_walks_begin_with():
    x = mg.tensor(2.0, requires_grad=True)
    y = x * 3
    y.register_hook(lambda g: g.__setitem__(..., 7.0))
    y.backward(create_graph=True)
    assert x.grad.item() == 21.0
    z = mg.tensor(5.0, requires_grad=True)
    (z * 1).backward()
    assert z.grad.item() == 1.0


@on_a_device
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_integers_of_any_size_are_scattered(dtype):
    x = mg.tensor(np.zeros(3, dtype))
    index = mg.tensor([0, 2, 2], int)
    np.testing.assert_array_equal(x.at[index].set(1).numpy(), np.array([1, 0, 1], dtype))
    if dtype != "bool":
        np.testing.assert_array_equal(x.at[index].add(1).numpy(), np.array([1, 0, 2], dtype))


@on_a_device
class TestDrawsOnTheDevice:
    def mask(self, seed, shape=(100, 101), p=0.3, **options):
        x = mg.ones(shape, device="cuda")
        return mg.dropout(x, p, rng=np.random.default_rng(seed), **options).numpy()

    def test_a_function_of_the_seed(self):
        np.testing.assert_array_equal(self.mask(1), self.mask(1))
        assert (self.mask(1) != self.mask(2)).any()
        rng = np.random.default_rng(1)
        x = mg.ones((100, 101), device="cuda")
        first, second = (mg.dropout(x, 0.3, rng=rng).numpy() for _ in range(2))
        np.testing.assert_array_equal(first, self.mask(1))
        assert (first != second).any()

    def test_the_share_of_zeros_and_the_scale(self):
        mask = self.mask(3)
        assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.7)}
        assert abs((mask == 0).mean() - 0.3) < 0.02
        assert not self.mask(3, p=1.0).any()

    def test_a_shared_axis(self):
        mask = self.mask(4, shape=(7, 20, 30), shared_axis=0)
        assert (mask == mask[:1]).all()
        assert 0.2 < (mask[0] == 0).mean() < 0.4

    def test_float16(self):
        x = mg.ones((5, 5), dtype=np.float16, device="cuda")
        assert mg.dropout(x, 0.5).dtype == np.float16


ANOTHER_GPU = [
    lambda: mg.tensor([1.0], device="cuda:1"),
    lambda: mg.Tensor(np.ones(2), device="cuda:1"),
    lambda: mg.zeros(2, device="cuda:1"),
    lambda: mg.ones(2, device="cuda").to("cuda:1"),
    lambda: mg.to_device(mg.ones(2), "cuda:1"),
    lambda: nn.Linear(2, 3).to("cuda:1"),
    lambda: mg.set_default_device("cuda:1"),
    lambda: mg.cuda.memory_stats("cuda:1"),
    lambda: mg.cuda.synchronize("cuda:1"),
]


@on_a_device
@pytest.mark.usefixtures("explicit")
@pytest.mark.skipif("mg.cuda.device_count() < 2", reason="there is only one GPU")
class TestAProcessWorksWithOneGPU:
    @pytest.mark.parametrize("call", ANOTHER_GPU)
    def test_another_one_is_refused_and_told_how_to_choose(self, call):
        told = r"'cuda:1' is not the GPU of this process, which is 'cuda:0'.*CUDA_VISIBLE_DEVICES=1"
        with pytest.raises(ValueError, match=told):
            call()

    def test_an_array_that_is_on_another_one(self):
        import cupy

        with cupy.cuda.Device(1):
            there = cupy.ones(3)
        for call in (mg.tensor, mg.Tensor, lambda x: mg.ones(3, device="cuda") + x):
            with pytest.raises(ValueError, match="'cuda:1' is not the GPU of this process"):
                call(there)

    def test_it_is_the_current_one(self):
        import cupy

        with cupy.cuda.Device(1):
            assert mg.ones(2, device="cuda").device == "cuda:1"
            assert mg.ones(2, device="cuda:1").device == "cuda:1"
            with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES=0"):
                mg.ones(2, device="cuda:0")
