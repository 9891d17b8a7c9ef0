import doctest
from itertools import pairwise

import numpy as np
import pytest
from double import budget
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.data
from minigrad.data import Windows, batchify, checks, split, windows

SIZES = st.tuples(st.integers(2, 40), st.integers(1, 6))  # (L, N)


def numbered(length, batch_size):
    """Streams in which each token is told by its number: column n counts from n * length."""
    return batchify(np.arange(length * batch_size), batch_size)


def test_example_of_the_package_runs():
    assert doctest.testmod(minigrad.data).attempted > 0
    assert doctest.testmod(minigrad.data).failed == 0


class TestSplit:
    @given(st.text(min_size=1, max_size=9).map(lambda text: text * 100))
    def test_parts_of_a_text_joined_are_the_text(self, text):
        parts = split(text)
        assert len(parts) == 3
        assert "".join(parts) == text
        assert all(parts)

    @given(st.integers(60, 2000), st.lists(st.integers(1, 10), min_size=1, max_size=6))
    def test_parts_have_the_shares_asked_for(self, length, weights):
        fractions = [weight / sum(weights) for weight in weights]
        parts = split(np.arange(length), fractions)
        assert np.array_equal(np.concatenate(parts), np.arange(length))
        for part, fraction in zip(parts, fractions, strict=True):
            assert abs(len(part) - fraction * length) <= 1

    def test_by_default_train_valid_test(self):
        train, valid, test = split(list(range(1000)))
        assert (train[0], train[-1], valid[0], valid[-1], test[0], test[-1]) == (
            (0, 899, 900, 949, 950, 999)
        )

    def test_parts_of_an_array_are_views(self):
        ids = np.arange(100)
        assert all(np.shares_memory(ids, part) for part in split(ids))

    @pytest.mark.parametrize(
        ("fractions", "message"),
        [
            ((0.9, 0.05), r"must sum to 1, got \(0\.9, 0\.05\), sum 0\.95"),
            ((0.9, 0.2), "must sum to 1"),
            ((1.1, -0.1), r"must be positive, got \(1\.1, -0\.1\)"),
            ((0.5, 0.5, 0.0), "must be positive"),
            ((float("nan"), 1.0), "must be positive"),
            ((), "must sum to 1"),
            ((0.999, 0.001), "a length of 100 is too short .* part 1 would be empty; 1001 will do"),
        ],
    )
    def test_bad_fractions(self, fractions, message):
        with pytest.raises(ValueError, match=f"split: .*{message}"):
            split("x" * 100, fractions)

    def test_no_part_is_pushed_out_by_a_sum_that_is_a_little_over_1(self):
        with pytest.raises(ValueError, match="part 2 would be empty"):
            split(range(10**7), (0.5, 0.5 + 9e-7, 1e-9))

    def test_empty_text(self):
        with pytest.raises(ValueError, match="a length of 0 is too short"):
            split("")


class TestBatchify:
    @given(st.integers(1, 200), st.integers(1, 20))
    def test_streams_are_consecutive_pieces(self, length, batch_size):
        ids = np.arange(length) * 3
        if length < 2 * batch_size:
            with pytest.raises(ValueError, match="too few"):
                batchify(ids, batch_size)
            return
        streams = batchify(ids, batch_size)
        assert streams.shape == (length // batch_size, batch_size)
        joined = np.concatenate([streams[:, n] for n in range(batch_size)])
        assert np.array_equal(joined, ids[: len(joined)])
        assert length - len(joined) < batch_size

    @pytest.mark.parametrize("batch_size", [1, 3, np.int64(3)])
    @pytest.mark.parametrize("dtype", [np.int64, np.uint64])
    def test_of_wide_ids_is_a_contiguous_array(self, batch_size, dtype):
        streams = batchify(np.arange(20, dtype=dtype), batch_size)
        assert streams.dtype == np.int64
        assert streams.flags.c_contiguous

    @pytest.mark.parametrize("batch_size", [1, 3])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32])
    def test_of_narrow_ids_is_a_view(self, batch_size, dtype):
        ids = np.arange(20, dtype=dtype)
        ids.flags.writeable = False
        streams = batchify(ids, batch_size, vocab_size=20)
        assert streams.dtype == dtype
        assert np.shares_memory(streams, ids)
        assert np.array_equal(streams, batchify(ids.astype(np.int64), batch_size))

    def test_list(self):
        assert batchify([1, 2, 3, 4, 5, 6, 7], 3).tolist() == [[1, 3, 5], [2, 4, 6]]

    def test_too_short(self):
        message = "batchify: 7 tokens are too few for batch_size=4: at least 8 are needed"
        with pytest.raises(ValueError, match=message):
            batchify(np.arange(7), 4)
        with pytest.raises(ValueError, match="batchify: 0 tokens are too few"):
            batchify([], 1)

    def test_ids_are_checked_on_the_host(self):
        ids = np.arange(10)
        assert batchify(ids, 2, vocab_size=10).max() == 9
        message = r"batchify: ids must be in \[0, 9\), got 9 at position 9"
        with pytest.raises(IndexError, match=message):
            batchify(ids, 2, vocab_size=9)
        with pytest.raises(IndexError, match=r"ids must be not negative, got -1 at position 2"):
            batchify([0, 1, -1, 2], 2)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
    def test_ids_are_checked_to_the_end_of_a_long_text(self, dtype, monkeypatch):
        monkeypatch.setattr(checks, "SPAN", 7)
        ids = np.zeros(100, dtype)
        ids[93] = 50
        with pytest.raises(IndexError, match=r"must be in \[0, 50\), got 50 at position 93"):
            batchify(ids, 2, vocab_size=50)

    def test_an_id_in_the_dropped_tail_is_checked_too(self):
        with pytest.raises(IndexError, match="got 99 at position 4"):
            batchify([0, 1, 2, 3, 99], 2, vocab_size=4)

    @pytest.mark.parametrize("ids", [np.zeros(9), np.zeros(9, bool), "some text"])
    def test_not_integers(self, ids):
        with pytest.raises((TypeError, ValueError), match="batchify: ids must"):
            batchify(ids, 2)

    def test_not_one_axis(self):
        with pytest.raises(
            ValueError, match=r"batchify: ids must have one axis, got shape \(3, 3\)"
        ):
            batchify(np.zeros((3, 3), int), 2)

    @pytest.mark.parametrize("batch_size", [0, -1])
    def test_batch_size_below_one(self, batch_size):
        message = f"batchify: batch_size must be at least 1, got {batch_size}"
        with pytest.raises(ValueError, match=message):
            batchify(np.arange(9), batch_size)

    @pytest.mark.parametrize("batch_size", [2.0, "2", None, True])
    def test_batch_size_of_another_type(self, batch_size):
        with pytest.raises(TypeError, match="batchify: batch_size must be an int, got"):
            batchify(np.arange(9), batch_size)


class TestWindows:
    @given(SIZES, st.integers(1, 50))
    def test_each_token_but_the_first_is_a_target_once(self, size, bptt):
        streams = numbered(*size)
        pairs = list(windows(streams, bptt))
        assert np.array_equal(np.concatenate([targets for _, targets in pairs]), streams[1:])
        assert np.array_equal(np.concatenate([inputs for inputs, _ in pairs]), streams[:-1])

    @given(SIZES, st.integers(1, 50))
    def test_targets_are_the_inputs_one_step_later(self, size, bptt):
        for inputs, targets in windows(numbered(*size), bptt):
            assert inputs.shape == targets.shape
            assert np.array_equal(inputs + 1, targets)

    @given(SIZES, st.integers(1, 50))
    def test_only_the_last_window_may_be_shorter(self, size, bptt):
        length, batch_size = size
        pairs = windows(numbered(*size), bptt)
        assert isinstance(pairs, Windows)
        assert len(pairs) == -(-(length - 1) // bptt) == len(list(pairs))
        steps = [len(inputs) for inputs, _ in pairs]
        assert all(step == bptt for step in steps[:-1])
        assert 1 <= steps[-1] <= bptt
        assert all(inputs.shape[1] == batch_size for inputs, _ in pairs)

    @given(SIZES, st.integers(1, 50))
    def test_a_window_goes_on_where_the_one_before_ended(self, size, bptt):
        for (_, targets), (inputs, _) in pairwise(windows(numbered(*size), bptt)):
            assert np.array_equal(targets[-1], inputs[0])

    @given(SIZES, st.integers(1, 50), st.data())
    def test_start_gives_the_rest_of_the_windows(self, size, bptt, data):
        streams = numbered(*size)
        whole = windows(streams, bptt)
        done = data.draw(st.integers(0, len(whole)))
        position = sum(len(inputs) for inputs, _ in whole[:done])
        rest = windows(streams, bptt, start=position)
        assert len(rest) == len(whole) - done
        for (inputs, targets), (expected_inputs, expected_targets) in zip(
            rest, whole[done:], strict=True
        ):
            assert np.array_equal(inputs, expected_inputs)
            assert np.array_equal(targets, expected_targets)

    @given(SIZES, st.integers(1, 50), st.data())
    def test_any_start(self, size, bptt, data):
        streams = numbered(*size)
        start = data.draw(st.integers(0, size[0] - 1))
        targets = [targets for _, targets in windows(streams, bptt, start=start)]
        assert np.array_equal(np.concatenate([streams[: start + 1], *targets]), streams)

    def test_is_a_sequence(self):
        pairs = windows(numbered(11, 2), 4)
        assert [inputs[0, 0] for inputs, _ in pairs] == [0, 4, 8]
        assert [inputs[0, 0] for inputs, _ in reversed(pairs)] == [8, 4, 0]
        assert [inputs[0, 0] for inputs, _ in pairs[::2]] == [0, 8]
        assert pairs[-1][0].shape == (2, 2)
        assert len(list(pairs)) == len(list(pairs)) == 3
        with pytest.raises(IndexError):
            pairs[3]
        assert repr(pairs) == "<3 windows of 4 steps, streams (11, 2)>"

    def test_views_of_int64_streams(self):
        streams = numbered(11, 2)
        for pair in windows(streams, 4):
            for array in pair:
                assert np.shares_memory(array, streams)
                assert array.dtype == np.int64
                assert array.flags.c_contiguous

    @pytest.mark.parametrize(
        "streams",
        [
            numbered(11, 2).astype(np.int32),
            numbered(11, 2).astype(np.uint8),
            np.asfortranarray(numbered(11, 2)),
        ],
    )
    def test_of_other_streams_a_window_is_copied(self, streams):
        for inputs, targets in windows(streams, 4):
            assert inputs.dtype == targets.dtype == np.int64
            assert inputs.flags.c_contiguous
            assert targets.flags.c_contiguous
            assert np.array_equal(inputs + 1, targets)
            assert not np.shares_memory(inputs, streams)
        assert windows(streams, 4).streams is streams

    @given(SIZES, st.integers(1, 50), st.data())
    def test_at_any_place_of_any_length(self, size, bptt, data):
        streams = numbered(*size)
        pairs = windows(streams, bptt, start=data.draw(st.integers(0, size[0] - 1)))
        assert pairs.time_steps == size[0] - 1
        start = data.draw(st.integers(0, pairs.time_steps - 1))
        length = data.draw(st.integers(1, pairs.time_steps - start))
        inputs, targets = pairs.at(start, length)
        assert np.array_equal(inputs, streams[start : start + length])
        assert np.array_equal(targets, streams[start + 1 : start + length + 1])

    @pytest.mark.parametrize(
        ("start", "length", "message"),
        [
            (-1, 1, r"start must be in \[0, 10\), got -1"),
            (10, 1, r"start must be in \[0, 10\), got 10"),
            (4, 7, "length must be at most 6, .* left from 4 on, got 7"),
            (4, 0, "length must be at least 1, got 0"),
        ],
    )
    def test_at_a_place_that_is_not_there(self, start, length, message):
        with pytest.raises(ValueError, match=rf"Windows\.at: {message}"):
            windows(numbered(11, 2), 3).at(start, length)
        with pytest.raises(TypeError, match=r"Windows\.at: length must be an int, got 1\.0"):
            windows(numbered(11, 2), 3).at(0, 1.0)

    def test_an_array_of_another_library_stays_there(self):
        class OnDevice(np.ndarray):
            """Stands in for an array that NumPy must not convert."""

            def __array__(self, *args, **kwargs):
                raise TypeError("implicit copy to the host")

        for pair in windows(numbered(11, 2).view(OnDevice), 4):
            assert all(type(array) is OnDevice for array in pair)

    @pytest.mark.device
    def test_streams_on_a_gpu_stay_there(self):
        streams = mg.Tensor(numbered(11, 2).astype(np.uint16)).data
        with budget():
            pairs = list(windows(streams, 4))
        for (inputs, targets), expected in zip(pairs, windows(numbered(11, 2), 4), strict=True):
            assert inputs.dtype == targets.dtype == np.int64
            assert np.array_equal(inputs.get(), expected[0])
            assert np.array_equal(targets.get(), expected[1])

    def test_list(self):
        inputs, targets = windows([[1, 2], [3, 4]], 5)[0]
        assert inputs.tolist() == [[1, 2]]
        assert targets.tolist() == [[3, 4]]

    @pytest.mark.parametrize("length", [0, 1])
    def test_too_short(self, length):
        message = f"windows: streams of {length} time steps are too short: at least 2"
        with pytest.raises(ValueError, match=message):
            windows(np.zeros((length, 4), int), 3)

    @pytest.mark.parametrize("shape", [(), (9,), (9, 1, 1)])
    def test_not_two_axes(self, shape):
        with pytest.raises(ValueError, match=r"windows: streams must have two axes"):
            windows(np.zeros(shape, int), 3)

    @pytest.mark.parametrize("dtype", [np.float32, bool])
    def test_not_integers(self, dtype):
        message = f"windows: streams must be integers, got dtype {np.dtype(dtype)}"
        with pytest.raises(TypeError, match=message):
            windows(np.zeros((9, 2), dtype), 3)

    @pytest.mark.parametrize("bptt", [0, -1])
    def test_bptt_below_one(self, bptt):
        with pytest.raises(ValueError, match=f"windows: bptt must be at least 1, got {bptt}"):
            windows(numbered(9, 2), bptt)

    @pytest.mark.parametrize("start", [-1, 9])
    def test_start_out_of_range(self, start):
        message = rf"windows: start must be in \[0, 8\], got {start}"
        with pytest.raises(ValueError, match=message):
            windows(numbered(9, 2), 3, start=start)

    def test_arguments_of_another_type(self):
        with pytest.raises(TypeError, match=r"windows: bptt must be an int, got 3\.0"):
            windows(numbered(9, 2), 3.0)
        with pytest.raises(TypeError, match="windows: start must be an int, got None"):
            windows(numbered(9, 2), 3, start=None)
