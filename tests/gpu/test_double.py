"""The strict double of CuPy: it does what CuPy does, and refuses what it should."""

import copy
import pickle
import sys

import double
import numpy as np
import pytest
from double import cupy as xp
from double.names import NAMES
from double.semantics import outcome, table

host = pytest.mark.host("it asks the double itself")


@pytest.fixture
def x():
    """[[0, 1, 2], [3, 4, 5]]."""
    return xp.arange(6, dtype="f").reshape(2, 3)


@host
@pytest.mark.parametrize(("expression", "expected"), table())
def test_it_does_what_cupy_does(expression, expected):
    assert outcome(expression, xp, double.cupyx, double.special) == expected


@pytest.mark.device
@pytest.mark.parametrize(("expression", "expected"), table())
def test_the_installed_cupy_does_so(expression, expected):
    import cupy
    import cupyx
    from cupyx.scipy import special

    assert outcome(expression, cupy, cupyx, special) == expected


@host
def test_it_has_all_elementwise_functions_of_cupy(x):
    assert all(isinstance(getattr(xp, name), xp.ufunc) for name in NAMES["ufuncs"])
    np.testing.assert_array_equal(xp.sinc(x).get(), np.sinc(x.get()))  # no ufunc of NumPy's


REFUSED = [
    ("xp.asarray([np.nan]).astype('i')", RuntimeError, "astype: NaN, .* as int32; .* undefined"),
    ("xp.asarray([np.inf, 1.0]).astype('l')", RuntimeError, "astype: NaN, infinity"),
    ("xp.asarray([-1.5]).astype('B')", RuntimeError, "out of range as uint8"),
    ("xp.asarray([2.0**31]).astype('i')", RuntimeError, "out of range as int32"),
    ("xp.zeros(1, 'i').__setitem__(0, xp.asarray(np.nan))", RuntimeError, "setitem: NaN"),
    ("xp.copyto(xp.zeros(1, 'i'), xp.asarray([np.inf]), 'unsafe')", RuntimeError, "copyto: NaN"),
    ("xp.asarray([1], 'i') << 32", RuntimeError, "left_shift of 32 bits"),
    ("xp.asarray([1]) >> -1", RuntimeError, "right_shift of 64 bits"),
    ("np.tanh(x)", TypeError, "__array_ufunc__"),
    ("np.add(x, x)", TypeError, "__array_ufunc__"),
    ("np.sum(x)", TypeError, "numpy.sum was given a device array"),
    ("np.concatenate([x, x])", TypeError, "numpy.concatenate was given"),
    ("np.where(x > 1, x, 0)", TypeError, "numpy.where was given"),
    ("np.zeros_like(x)", TypeError, "numpy.zeros_like was given"),
    ("np.shape(x)", TypeError, "numpy.shape was given"),
    ("np.einsum('ij->j', x)", TypeError, "was given"),
    ("np.linalg.norm(x)", TypeError, "was given"),
    ("np.add.at(x, [0], 1)", TypeError, "__array_ufunc__"),
    ("np.from_dlpack(x)", ValueError, "PyCapsule"),
    ("xp.sum(np.ones(3))", TypeError, "sum: expected an array of CuPy's"),
    ("xp.sum([1, 2, 3])", TypeError, "sum: expected an array of CuPy's"),
    ("x + [1.0, 2.0, 3.0]", TypeError, "add: Unsupported type <class 'list'>"),
    ("x == np.array(1.0)", TypeError, "equal: Unsupported type"),
    ("xp.add(x, x, out=np.ones((2, 3), 'f'))", TypeError, "add: out is a"),
    ("xp.add(x, x, out=xp.zeros((2, 2, 3), 'f'))", ValueError, "out has the shape"),
    ("xp.concatenate([x, np.ones((2, 3))])", TypeError, "concatenate: Unsupported type"),
    ("xp.einsum('ij,ij', x, np.ones((2, 3)))", TypeError, "einsum: Unsupported type"),
    ("xp.sum(x, axis=xp.asarray(0))", TypeError, "axis is an array on the device"),
    ("x.sum(xp.asarray(0))", TypeError, "expected numbers"),
    ("xp.roll(x, xp.asarray(1))", TypeError, "shift is an array on the device"),
    ("xp.arange(0, xp.asarray(1))", TypeError, "stop and step"),
    ("xp.sum(x, keepdim=True)", TypeError, "unexpected keyword argument 'keepdim'"),
    ("x.sum(0, None, None, True, 0)", TypeError, "too many positional arguments"),
    ("x.mean(where=x > 1)", TypeError, "unexpected keyword argument 'where'"),
    ("xp.sign(xp.asarray(True))", TypeError, "sign: ufunc 'sign' did not contain"),
    ("xp.broadcast_to(x, (2, 2, 3)).__setitem__(0, 1.0)", ValueError, "broadcast arrays"),
    ("x.__setitem__(xp.asarray([0, 2]), x)", RuntimeError, "named twice"),
    ("x.__setitem__((xp.asarray([0, 0]), xp.asarray([1, 4])), x[0, :2])", RuntimeError, "twice"),
    ("xp.put_along_axis(x, xp.asarray([[0, 3]]), x[:1, :2], 1)", RuntimeError, "named twice"),
    ("x.nothing", AttributeError, "CuPy 14.* has no ndarray.nothing"),
    ("xp.nothing", AttributeError, "CuPy 14.* has no cupy.nothing"),
    ("xp.vectorize", NotImplementedError, "does not model it"),
    ("xp.cuda.Graph", NotImplementedError, "does not model it"),
    ("xp.cuda.nothing", AttributeError, "no cuda.nothing"),
    ("xp.linalg.nothing", AttributeError, "no linalg.nothing"),
    ("xp.random.default_rng(0).shuffle", AttributeError, "no Generator.shuffle"),
    ("xp.random.default_rng(0).random(shape=3)", TypeError, "unexpected keyword"),
    ("xp.ElementwiseKernel('T x', 'T y', 'y = x', 'name')", NotImplementedError, "no Elementwise"),
    ("xp.ReductionKernel('T x')", NotImplementedError, "no ReductionKernel"),
    ("xp.RawModule(code='')", NotImplementedError, "no RawModule"),
    ("xp.cuda.Device(4).use()", RuntimeError, "cudaErrorInvalidDevice"),
    ("xp.cuda.runtime.getDeviceProperties(4)", RuntimeError, "cudaErrorInvalidDevice"),
]


@host
@pytest.mark.parametrize(("expression", "error", "message"), REFUSED)
def test_it_refuses(x, expression, error, message):
    with pytest.raises(error, match=message):
        eval(expression, {"np": np, "xp": xp, "x": x})


@host
class TestArrays:
    def test_are_no_numpy_arrays_and_look_like_cupys(self, x):
        assert not isinstance(x, np.ndarray)
        assert (type(x).__module__, type(x).__name__) == ("cupy", "ndarray")
        assert isinstance(x, xp.ndarray)

    def test_do_not_share_memory_with_the_host(self):
        host = np.ones(3)
        x = xp.asarray(host)
        back = x.get()
        host[0], back[1] = 5, 6
        assert x.tolist() == [1, 1, 1]

    def test_numpy_may_ask_whether_memory_is_shared(self, x):
        assert np.shares_memory(x, x[0])
        assert not np.may_share_memory(x, x.copy())

    def test_new_memory_has_nothing_sensible_in_it(self, x):
        assert np.isnan(xp.empty((2, 3), "f").get()).all()
        assert np.isnan(xp.empty_like(x).get()).all()
        assert xp.empty(2, "i").tolist() == [2**31 - 1] * 2
        assert xp.ndarray((2,), bool).tolist() == [True, True]

    def test_pointers_are_addresses(self, x):
        assert x[1, 1].data.ptr == x.data.ptr + 16
        assert x.T.data.ptr == x.data.ptr
        assert x.__cuda_array_interface__["data"] == (x.data.ptr, False)
        assert x.T.__cuda_array_interface__["strides"] == (4, 12)

    def test_of_given_memory_share_it(self):
        memory = xp.empty(24, np.uint8)
        x = xp.ndarray((3, 2), "f", memory.data, (4, 12))
        y = xp.ndarray((2,), "f", memory.data + 16)
        x.fill(1)
        y.fill(2)
        assert x.tolist() == [[1, 1], [1, 2], [1, 2]]
        assert (x.base, y.data.ptr) == (None, memory.data.ptr + 16)
        with pytest.raises((TypeError, ValueError)):
            xp.ndarray((7,), "f", memory.data)  # beyond its end
        with pytest.raises(TypeError, match="memory for arrays is of bytes, not float32"):
            xp.ndarray((2,), "i", x.copy().data)
        with pytest.raises(ValueError, match="strides argument is not supported without"):
            xp.ndarray((2,), "i", strides=(8,))

    def test_einsum_promises_no_order(self, x):
        assert not xp.einsum("ij,jk->ik", x, x.T).flags.c_contiguous

    def test_pickle_goes_through_the_host(self, x):
        with double.budget(sync=1, d2h=1) as events:
            pickled = pickle.dumps(x.T)
        assert [event.what for event in events if event.kind == "d2h"] == ["get"]
        loaded = pickle.loads(pickled)
        assert isinstance(loaded, xp.ndarray)
        assert loaded.tolist() == x.T.tolist()

    def test_deepcopy_stays_on_its_device(self):
        with xp.cuda.Device(1):
            x = xp.ones(3)
        assert copy.deepcopy(x).device.id == 1

    def test_dlpack_shares_memory(self, x):
        y = xp.from_dlpack(x)
        y += 1
        assert x[0, 0].item() == 1
        assert y.__dlpack_device__() == (2, 0)

    def test_no_warnings_and_no_errors_of_floating_point(self, x):
        with np.errstate(all="raise"):
            x / 0, xp.log(x - 9), x.astype("e") * 1e9, xp.zeros((0, 2)).mean(axis=0)


@host
class TestDevices:
    def test_there_are_four(self):
        assert xp.cuda.is_available()
        assert xp.cuda.runtime.getDeviceCount() == 4
        assert xp.cuda.runtime.getDeviceProperties(1)["name"] == b"strict double 1"

    def test_arrays_are_made_on_the_current_one(self):
        with xp.cuda.Device(1) as device:
            assert (device.id, xp.cuda.Device().id, xp.cuda.get_device_id()) == (1, 1, 1)
            assert xp.ones(3).device == device
            assert (xp.ones(3) + 1).device.id == 1
        assert xp.cuda.Device().id == xp.ones(3).device.id == 0

    def test_the_current_one_comes_back_after_an_error(self):
        with pytest.raises(KeyError), xp.cuda.Device(1):
            raise KeyError
        assert xp.cuda.Device().id == 0

    def test_use_lasts(self):
        try:
            xp.cuda.Device(1).use()
            assert xp.ones(3).device.id == 1
        finally:
            xp.cuda.Device(0).use()

    @pytest.mark.parametrize(
        "op",
        [
            lambda x, y: x + y,
            lambda x, y: x @ y,
            lambda x, y: xp.where(x > 0, x, y),
            lambda x, y: xp.concatenate([x, y]),
            lambda x, y: xp.copyto(x, y),
            lambda x, y: xp.add(x, x, out=y),
            lambda x, y: x.__setitem__(..., y),
            lambda x, y: x.__setitem__(y > 0, 1),
            lambda x, y: x.take(y.astype(int)),
            lambda x, y: xp.add.at(x, y.astype(int), 1),
            lambda x, y: -y,
            lambda x, y: y.sum(),
            lambda x, y: y[xp.asarray([0])],
            lambda x, y: y.__setitem__(0, 1),
        ],
    )
    def test_they_do_not_mix(self, op):
        x = xp.ones(3)
        with xp.cuda.Device(1):
            y = xp.ones(3)
        with pytest.raises(ValueError, match="an array is on device 1, the current device is 0"):
            op(x, y)

    def test_what_may_be_done_from_elsewhere(self):
        with xp.cuda.Device(1):
            x = xp.arange(6).reshape(2, 3)
        assert x.T.device.id == x[0].device.id == x.reshape(6).device.id == 1
        assert x.get().tolist() == [[0, 1, 2], [3, 4, 5]]
        assert x.copy().device.id == xp.asarray(x).device.id == xp.array(x).device.id == 0

    def test_memory_is_told(self):
        pool = xp.get_default_memory_pool()
        pool.free_all_blocks()
        before = pool.used_bytes()
        x = xp.zeros(1000, "f")
        view = x[1:]
        assert pool.used_bytes() - before == 4096
        del x
        assert pool.used_bytes() - before == 4096
        del view
        assert pool.used_bytes() == before
        assert pool.total_bytes() - before == pool.free_bytes() == 4096
        free, total = xp.cuda.runtime.memGetInfo()
        assert total - free == pool.total_bytes()
        pool.free_all_blocks()
        assert pool.total_bytes() == before


@host
def test_install_gives_it_to_whoever_imports_cupy(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]:
        monkeypatch.delitem(sys.modules, name)
    for name in (module.__name__ for module in double.MODULES):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    double.install()
    import cupy
    import cupyx.scipy.special

    assert cupy is xp
    assert cupyx.scipy.special is double.special
    monkeypatch.setitem(sys.modules, "cupy", np)
    with pytest.raises(RuntimeError, match="imported before"):
        double.install()
