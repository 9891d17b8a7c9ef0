import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.data import DataLoader, pad_sequences

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def taken(loader):
    return [int(i) for batch in loader for i in batch.numpy()]


class TestLoader:
    @given(st.integers(0, 20), st.integers(1, 7), st.booleans(), st.booleans())
    def test_every_example_once_in_batches_of_one_size(self, count, batch_size, shuffle, drop_last):
        loader = DataLoader(
            list(range(count)),
            batch_size,
            shuffle,
            drop_last=drop_last,
            rng=np.random.default_rng(0),
        )
        batches = list(loader)
        sizes = [len(batch) for batch in batches]
        left = count % batch_size
        last = [left] if left and not drop_last else []
        assert sizes == [batch_size] * (count // batch_size) + last
        assert len(loader) == len(batches)
        seen = sorted(int(i) for batch in batches for i in batch.numpy())
        assert len(set(seen)) == len(seen) == sum(sizes)
        assert set(seen) <= set(range(count))

    def test_in_order_unless_shuffled_and_each_epoch_in_another(self):
        numbers = list(range(30))
        assert taken(DataLoader(numbers, 4)) == numbers
        loader = DataLoader(numbers, 4, shuffle=True, rng=np.random.default_rng(0))
        first, second = taken(loader), taken(loader)
        assert sorted(first) == sorted(second) == numbers
        assert first != second != numbers != first
        again = DataLoader(numbers, 4, shuffle=True, rng=np.random.default_rng(0))
        assert [taken(again), taken(again)] == [first, second]

    def test_the_librarys_own_generator(self):
        runs = []
        for _ in range(2):
            mg.manual_seed(5)
            runs.append(taken(DataLoader(range(20), 3, shuffle=True)))
        assert runs[0] == runs[1]

    def test_an_epoch_goes_on_where_it_was_stopped(self):
        rng = np.random.default_rng(3)
        loader = DataLoader(list(range(17)), 3, shuffle=True, rng=rng)
        taken(loader)
        began = rng.bit_generator.state
        whole = [batch.tolist() for batch in loader]
        after = taken(loader)
        rng.bit_generator.state = began
        assert [batch.tolist() for batch in itertools.islice(loader, 2, None)] == whole[2:]
        assert taken(loader) == after

    def test_parts_of_examples(self):
        class Data:
            def __len__(self):
                return 3

            def __getitem__(self, i):
                x = np.full((2, 2), i, np.float64)
                return {"x": x, "pair": (i, float(i)), "list": [0.5, i], "word": "abc"[i]}

        (batch,) = DataLoader(Data(), batch_size=3)
        assert (batch["x"].shape, batch["x"].dtype) == ((3, 2, 2), np.float64)
        ids, floats = batch["pair"]
        assert (ids.tolist(), ids.dtype) == ([0, 1, 2], np.int64)
        assert (floats.tolist(), floats.dtype) == ([0, 1, 2], np.float32)
        assert (batch["list"].shape, batch["list"].dtype) == ((3, 2), np.float32)
        assert batch["word"] == ["a", "b", "c"]
        assert all(isinstance(t, mg.Tensor) for t in (batch["x"], ids, floats))

    def test_tensors_arrays_and_numpy_numbers_keep_their_dtype(self):
        for one, dtype in (
            (mg.tensor(np.ones(2)), "f8"),
            (np.ones(2, np.float16), "f2"),
            (np.float64(1), "f8"),
            (np.uint8(1), "u1"),
            (True, "?"),
        ):
            (batch,) = DataLoader([one, one], 2)
            assert batch.dtype == np.dtype(dtype)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda: DataLoader(iter([1, 2])),
                TypeError,
                r"which a list_iterator does not have; list\(",
            ),
            (lambda: DataLoader([1], 0), ValueError, "batch_size must be at least 1, got 0"),
            (lambda: DataLoader([1], 1.5), TypeError, "batch_size must be an int, got 1.5"),
            (
                lambda: list(DataLoader([[1], [1, 2]], 2)),
                ValueError,
                r"shapes \(1,\), \(2,\) make no array; .* calls pad_sequences",
            ),
        ],
    )
    def test_errors(self, call, error, message):
        with pytest.raises(error, match=message):
            call()

    def test_words_of_different_lengths_into_a_recurrent_layer(self):
        """As a tutorial has it: pairs, and a collate_fn that pads."""
        words = [([1, 2, 3], 0), ([4], 1), ([2, 2], 1)]

        def collate(pairs):
            sequences, labels = zip(*pairs, strict=True)
            return *pad_sequences(sequences), np.array(labels)

        embed, gru = nn.Embedding(5, 2), nn.GRU(2, 3)
        for ids, lengths, labels in DataLoader(words, 2, shuffle=True, collate_fn=collate):
            _, state = gru(embed(ids), lengths=lengths)
            for n in range(len(labels)):
                _, single = gru(embed(ids[: lengths[n], n : n + 1]))
                np.testing.assert_allclose(state.numpy()[0, n], single.numpy()[0, 0], atol=1e-6)


class TestPadSequences:
    @given(LENGTHS, st.booleans(), st.sampled_from([[], [2], [2, 3]]), st.integers(-9, 9))
    def test_each_sequence_and_then_the_value(self, lengths, batch_first, features, value):
        rng = np.random.default_rng(0)
        sequences = [rng.integers(100, 200, (n, *features)) for n in lengths]
        padded, told = pad_sequences(sequences, value, batch_first)
        assert told.tolist() == lengths
        rows = padded if batch_first else padded.swapaxes(0, 1)
        assert rows.shape == (len(lengths), max(lengths), *features)
        for row, sequence in zip(rows, sequences, strict=True):
            assert np.array_equal(row[: len(sequence)], sequence)
            assert (row[len(sequence) :] == value).all()

    @pytest.mark.parametrize(
        ("sequences", "dtype"),
        [
            ([[1, 2], [3]], "i8"),
            ([[1, 2], []], "i8"),
            ([[1.0], [2.0, 3.0]], "f4"),
            ([np.ones(2), np.ones(1)], "f8"),
            ([mg.tensor([1.0, 2.0]), mg.tensor([1.0])], "f4"),
            ([np.ones(2, np.uint8), np.ones(1, np.uint8)], "u1"),
        ],
    )
    def test_dtypes(self, sequences, dtype):
        assert pad_sequences(sequences)[0].dtype == np.dtype(dtype)

    @pytest.mark.parametrize(
        ("sequences", "value", "message"),
        [
            ([], 0, "got none"),
            ([1, 2], 0, r"of shapes \(length, ...\)"),
            ([np.ones((2, 3)), np.ones((2, 4))], 0, r"got \(2, 3\), \(2, 4\)"),
            ([[1], [2, 3]], 0.5, "value must be one of the sequences' int64, got 0.5"),
            ([np.ones(1, np.uint8)], -100, "value must be one of the sequences' uint8"),
        ],
    )
    def test_errors(self, sequences, value, message):
        with pytest.raises(ValueError, match=message):
            pad_sequences(sequences, value)
