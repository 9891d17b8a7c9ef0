import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import clip_grad_norm_, clip_grad_value_, pieces

NORMS = [1.0, 2.0, 3.5, math.inf]


def with_gradients(arrays, dtype=None):
    parameters = []
    for array in arrays:
        p = mg.tensor(np.zeros(np.shape(array)), dtype or np.asarray(array).dtype)
        p.requires_grad_()
        p.grad = mg.tensor(np.asarray(array), p.dtype)
        parameters.append(p)
    return parameters


def norm_of(arrays, p):
    """The p-norm, by a way of its own: the largest element taken out, the rest exactly summed."""
    values = [abs(float(x)) for array in arrays for x in np.asarray(array).ravel()]
    largest = max(values, default=0.0)
    if p == math.inf or largest == 0:
        return largest
    return largest * math.fsum((x / largest) ** p for x in values) ** (1 / p)


@st.composite
def gradients(draw):
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    shapes = draw(
        st.lists(st.sampled_from([(), (1,), (4,), (3, 2), (0, 3), (2, 1, 5)]), min_size=1)
    )
    return [rng.normal(size=shape) * 10 ** rng.uniform(-3, 3) for shape in shapes]


class TestNorm:
    @given(gradients(), st.sampled_from(NORMS), st.floats(1e-3, 1e3))
    def test_returns_the_norm_and_scales_to_it(self, arrays, p, max_norm):
        parameters = with_gradients(arrays)
        norm = clip_grad_norm_(parameters, max_norm, p)
        expected = norm_of(arrays, p)
        assert norm.shape == ()
        np.testing.assert_allclose(norm.item(), expected, rtol=1e-12)
        factor = min(1.0, max_norm / (expected + 1e-6))
        for parameter, array in zip(parameters, arrays, strict=True):
            np.testing.assert_allclose(parameter.grad.numpy(), array * factor, rtol=1e-12)

    @pytest.mark.parametrize("p", NORMS)
    def test_a_small_norm_leaves_every_bit(self, p):
        arrays = [np.array([0.1, -0.2], "float32")]
        parameters = with_gradients(arrays)
        clip_grad_norm_(parameters, 10, p)
        np.testing.assert_array_equal(parameters[0].grad.numpy(), arrays[0])

    def test_in_place_and_the_tape_is_told(self):
        (p,) = with_gradients([np.array([3.0, 4.0])])
        p.grad.requires_grad_()
        gradient, memory, loss = p.grad, p.grad.data, (p.grad * p.grad).sum()
        assert clip_grad_norm_(p, 1.0).item() == 5
        assert p.grad is gradient
        assert gradient.data is memory
        np.testing.assert_allclose(gradient.numpy(), [0.6, 0.8], rtol=1e-6)
        with pytest.raises(mg.TapeError, match="changed in place"):
            loss.backward()
        (q,) = with_gradients([np.array([3.0, 4.0])])
        q.grad.requires_grad_()
        loss = (q.grad * q.grad).sum()
        clip_grad_value_(q, 1.0)
        with pytest.raises(mg.TapeError, match="changed in place"):
            loss.backward()

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_dtype_stays(self, p, dtype):
        parameters = with_gradients([[3.0, 4.0], [12.0]], dtype)
        norm = clip_grad_norm_(parameters, np.float64(1.0), p)
        assert norm.dtype == np.result_type(dtype, "float32")
        np.testing.assert_allclose(norm.item(), norm_of([[3, 4, 12]], p), rtol=1e-3)
        for parameter in parameters:
            assert parameter.grad.dtype == dtype
        total = norm_of([q.grad.numpy() for q in parameters], p)
        np.testing.assert_allclose(total, 1, rtol=2e-3)

    @pytest.mark.parametrize(
        ("dtype", "count", "rtol"), [("float32", 3_000_000, 2e-7), ("float16", 20_000, 1e-3)]
    )
    def test_no_drift_over_many_elements(self, dtype, count, rtol):
        g = np.random.default_rng(0).uniform(0.5, 1.5, count).astype(dtype)
        exact = math.sqrt(np.square(g, dtype="float64").sum())
        norm = clip_grad_norm_(with_gradients([g]), math.inf)
        assert abs(norm.item() - exact) < rtol * exact

    @pytest.mark.host(reason="it measures the memory of the host")
    @pytest.mark.parametrize("p", NORMS)
    def test_no_temporaries_of_the_size_of_a_gradient(self, p):
        parameters = with_gradients([np.ones((1000, 500), "float32")])
        tracemalloc.start()
        try:
            clip_grad_norm_(parameters, 1.0, p)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < parameters[0].nbytes / 4

    @pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-19, 1e19, 1e30, 1e38])
    @pytest.mark.parametrize("p", NORMS)
    def test_squares_out_of_the_range_of_float32(self, scale, p):
        g = np.array([0.3, 0.4, 0, -0.5], "float32") * np.float32(scale)
        parameters = with_gradients([g])
        norm = clip_grad_norm_(parameters, 1.0, p)
        np.testing.assert_allclose(norm.item(), norm_of([g], p), rtol=1e-6)
        after = norm_of([parameters[0].grad.numpy()], p)
        np.testing.assert_allclose(after, min(1.0, norm_of([g], p)), rtol=1e-6)

    @pytest.mark.parametrize("value", [6e-6, 3e-4, 400.0])
    def test_squares_out_of_the_range_of_float16(self, value):
        (p,) = with_gradients([np.full(4, value, "float16")])
        expected = 2 * p.grad.numpy().astype("float64")[0]
        np.testing.assert_allclose(clip_grad_norm_(p, math.inf).item(), expected, rtol=1e-3)

    @given(gradients(), st.sampled_from(NORMS), st.integers(1, 5))
    def test_pieces_make_no_difference(self, arrays, p, block):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pieces, "BLOCK", block)
            patch.setattr(pieces, "LONG", block)
            norm = clip_grad_norm_(with_gradients(arrays), math.inf, p).item()
        np.testing.assert_allclose(norm, norm_of(arrays, p), rtol=1e-12)

    def test_order_of_memory_makes_no_difference(self):
        g = np.arange(12.0).reshape(3, 4)
        p = mg.tensor(np.zeros((3, 4)), requires_grad=True)
        p.grad = mg.Tensor(np.repeat(np.asfortranarray(g), 2, axis=1)[:, ::2])
        np.testing.assert_allclose(clip_grad_norm_(p, 1.0).item(), norm_of([g], 2), rtol=1e-12)
        np.testing.assert_allclose(p.grad.numpy(), g / (norm_of([g], 2) + 1e-6), rtol=1e-12)

    def test_no_gradients(self):
        p = mg.tensor([1.0], requires_grad=True)
        norm = clip_grad_norm_([p], 1.0)
        assert norm.item() == 0
        assert norm.device == p.device

    @pytest.mark.parametrize("p", NORMS)
    def test_many_gradients(self, p):
        arrays = [np.random.default_rng(i).normal(size=i % 5) for i in range(150)]
        parameters = with_gradients(arrays)
        np.testing.assert_allclose(
            clip_grad_norm_(parameters, 1.0, p).item(), norm_of(arrays, p), rtol=1e-12
        )
        total = norm_of([parameter.grad.numpy() for parameter in parameters], p)
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("dtypes", ["efd", "dfe", "ef", "ff"])
    def test_gradients_of_several_dtypes(self, p, dtypes):
        parameters = [with_gradients([[3.0, -4.0]], dtype)[0] for dtype in dtypes]
        norm = clip_grad_norm_(parameters, 1.0, p)
        assert norm.dtype == np.result_type(dtypes[0], "float32")
        np.testing.assert_allclose(norm.item(), norm_of([[3, 4]] * len(dtypes), p), rtol=1e-3)
        for parameter, dtype in zip(parameters, dtypes, strict=True):
            assert parameter.grad.dtype == dtype
            np.testing.assert_allclose(
                parameter.grad.numpy(), np.array([3, -4]) / norm.item(), rtol=2e-3
            )

    def test_a_parameter_without_a_gradient_and_one_that_is_there_twice(self):
        (p,) = with_gradients([[3.0, 4.0]])
        q = mg.tensor([1.0], requires_grad=True)
        assert clip_grad_norm_((x for x in [p, q, p]), 1.0).item() == 5
        np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)
        assert q.grad is None

    def test_infinity_measures_only(self):
        arrays = [np.array([3.0, math.inf])]
        parameters = with_gradients(arrays)
        assert clip_grad_norm_(parameters, math.inf).item() == math.inf
        np.testing.assert_array_equal(parameters[0].grad.numpy(), arrays[0])

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
    def test_not_finite(self, bad, p):
        arrays = [np.array([1.0, 2.0]), np.array([[3.0], [bad]])]
        parameters = with_gradients(arrays)
        with pytest.raises(RuntimeError, match=r"gradient 1 of 2, of shape \(2, 1\), is the first"):
            clip_grad_norm_(parameters, 1.0, p, error_if_nonfinite=True)
        for parameter, array in zip(parameters, arrays, strict=True):
            np.testing.assert_array_equal(parameter.grad.numpy(), array)
        norm = clip_grad_norm_(parameters, 1.0, p)
        if math.isnan(bad):
            assert math.isnan(norm.item())
            assert np.isnan(parameters[0].grad.numpy()).all()
        else:
            assert norm.item() == math.inf
            np.testing.assert_array_equal(parameters[0].grad.numpy(), [0, 0])
            np.testing.assert_array_equal(parameters[1].grad.numpy(), [[0], [math.nan]])

    def test_a_finite_norm_is_no_error(self):
        parameters = with_gradients([[3.0, 4.0]])
        assert clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True).item() == 5

    def test_the_gradients_of_a_backward(self):
        x = mg.tensor(np.ones((2, 3)), requires_grad=True)
        y = mg.tensor(np.ones((2, 3)), requires_grad=True)
        ((x + y) * 2).sum().backward()
        norm = clip_grad_norm_([x, y], 1.0)
        np.testing.assert_allclose(norm.item(), math.sqrt(48), rtol=1e-12)
        for p in (x, y):  # scaled once, not twice by way of shared memory
            np.testing.assert_allclose(p.grad.numpy(), 2 / math.sqrt(48), rtol=1e-6)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (([], 1.0), ValueError, "no parameters"),
            ((iter([]), 1.0), ValueError, r"no parameters \(an iterator that was used up"),
            (([3], 1.0), TypeError, "parameter 0 is no Tensor but int 3"),
            ((3, 1.0), TypeError, "expected a list or iterator of Tensors"),
            (([mg.zeros(2)], -1.0), ValueError, "max_norm must be a number of at least 0"),
            (([mg.zeros(2)], math.nan), ValueError, "max_norm must be"),
            (([mg.zeros(2)], 1.0, 0), ValueError, "norm_type must be a number above 0"),
            (([mg.zeros(2)], 1.0, math.nan), ValueError, "norm_type must be"),
        ],
    )
    def test_errors(self, arguments, error, message):
        with pytest.raises(error, match=f"clip_grad_norm_: {message}"):
            clip_grad_norm_(*arguments)


class TestValue:
    @given(gradients(), st.floats(0, 100), st.sampled_from(["float32", "float64"]))
    def test_moves_each_element_into_the_interval(self, arrays, bound, dtype):
        parameters = with_gradients(arrays, dtype)
        memory = [p.grad.data for p in parameters]
        clip_grad_value_(parameters, bound)
        for p, array, data in zip(parameters, arrays, memory, strict=True):
            assert p.grad.data is data
            assert p.grad.dtype == dtype
            np.testing.assert_array_equal(
                p.grad.numpy(), np.clip(array.astype(dtype), -bound, bound).astype(dtype)
            )

    def test_one_tensor_infinity_and_nan(self):
        (p,) = with_gradients([[math.inf, -math.inf, math.nan, 0.5]])
        clip_grad_value_(p, 2)
        np.testing.assert_array_equal(p.grad.numpy(), [2, -2, math.nan, 0.5])

    def test_errors(self):
        with pytest.raises(ValueError, match="clip_grad_value_: clip_value must be a number of at"):
            clip_grad_value_([mg.zeros(2)], -1)
        with pytest.raises(ValueError, match="clip_grad_value_: no parameters"):
            clip_grad_value_([], 1)
