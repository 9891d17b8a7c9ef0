"""The encoder and decoder, and how sentences are written with them."""

from itertools import product

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_layer
from models.encoder_decoder import IGNORED, EncoderDecoder
from models.writing.search import length_penalty
from models.writing.translation import (
    alignment,
    beam_translate,
    greedy_translate,
    kept_share,
    scheduled_inputs,
)

ATTENTION = ["additive", "multiplicative", "none"]
END = 3


def model(attention="additive", cell="gru", layers=1, seed=0, **options):
    rng = np.random.default_rng(seed)
    made = EncoderDecoder(5, 4, 3, 4, layers, cell, attention, rng=rng, **options)
    for parameter in made.parameters():  # or all would be equally likely
        parameter.data = parameter.data * 3
    return made.eval()


def log_probability(made, source, path):
    """Of writing a path, by the loss of all of it at once."""
    inputs = np.array([END, *path[:-1]])[:, None]
    mean = made.loss(source[:, None], [len(source)], inputs, np.array(path)[:, None])
    return -mean.item() * len(path)


class TestModel:
    @pytest.mark.parametrize("attention", ATTENTION)
    def test_padding_changes_nothing(self, attention):
        rng, made = np.random.default_rng(0), model(attention, "lstm", 2)
        short, long, inputs = rng.integers(5, size=2), rng.integers(5, size=4), [[3, 3], [1, 2]]
        padded = np.zeros((4, 2), int)
        padded[:2, 0], padded[:, 1] = short, long
        together = made(padded, [2, 4], np.array(inputs)).numpy()
        for n, ids in enumerate((short, long)):
            alone = made(ids[:, None], [len(ids)], np.array(inputs)[:, n : n + 1]).numpy()
            np.testing.assert_allclose(together[:, n], alone[:, 0], rtol=1e-4, atol=1e-5)

    @pytest.mark.host(reason="the layers that it is made of have their own")
    @pytest.mark.parametrize("attention", ATTENTION)
    def test_its_derivatives(self, attention):
        made = EncoderDecoder(3, 3, 2, 2, 1, "gru", attention, rng=np.random.default_rng(0))
        source, inputs = np.array([[1, 2], [0, 1]]), np.array([[2, 2], [0, 1]])
        check_layer(made, source, np.array([1, 2]), inputs)

    def test_the_loss_is_that_of_the_logits(self):
        made, targets = model(), np.array([[1, 2], [3, 0], [IGNORED, 3]])
        source, inputs = np.array([[1, 2], [3, 4]]), np.array([[3, 3], [1, 2], [0, 0]])
        expected = mg.cross_entropy(made(source, [1, 2], inputs), targets).item()
        found = made.loss(source, [1, 2], inputs, targets).item()
        assert found == pytest.approx(expected, rel=1e-5)

    def test_the_decoder_goes_on_where_it_was(self):
        made, ids = model(cell="lstm", layers=2), np.array([[3, 3], [1, 2], [0, 1]])
        encoded = made.encode(np.array([[1, 2], [3, 4]]), [2, 1])
        whole, _ = made.decode(ids, encoded.state)
        _, state = made.decode(ids[:2], encoded.state)
        last, _ = made.decode(ids[2:], state)
        np.testing.assert_allclose(last.numpy()[0], whole.numpy()[2], rtol=1e-5, atol=1e-6)

    def test_its_settings_make_it_again_and_wrong_ones_are_refused(self):
        made = model("none", "lstm", 2, dropout=0.5)
        assert EncoderDecoder(**made.settings()).settings() == made.settings()
        for wrong in ({"cell": "rnn"}, {"attention": "dot"}, {"hidden_size": 5}):
            with pytest.raises(ValueError, match=f"EncoderDecoder: {next(iter(wrong))} must be"):
                EncoderDecoder(**{**made.settings(), **wrong})


class TestWriting:
    @pytest.mark.parametrize("attention", ATTENTION)
    def test_a_wide_beam_finds_the_best_of_all(self, attention):
        made, source = model(attention, seed=1), np.array([1, 4, 2])
        paths = [
            path
            for n in (1, 2, 3)
            for path in product(range(4), repeat=n)
            if END not in path[:-1] and (path[-1] == END or n == 3) and 0 not in path
        ]
        scores = {p: log_probability(made, source, p) / length_penalty(len(p), 1) for p in paths}
        found = beam_translate(made, source, END, 3, width=64, alpha=1, banned=[0])
        assert found.ids == max(scores, key=scores.get)
        assert found.score == pytest.approx(scores[found.ids], abs=1e-4)

    @pytest.mark.parametrize("attention", ATTENTION)
    def test_greedy_is_a_beam_of_one_whatever_stands_beside(self, attention):
        ended = set()
        for seed in range(4):
            made = model(attention, "lstm", 2, seed)
            sources = [np.array(ids) for ids in ([1], [4, 2, 0, 1], [3, 3])]
            for source, found in zip(
                sources, greedy_translate(made, sources, END, 6, banned=[0]), strict=True
            ):
                alone = beam_translate(made, source, END, 6, width=1, banned=[0])
                assert (found.ids, found.ended) == (alone.ids, alone.ended)
                assert found.log_probability == pytest.approx(alone.log_probability, abs=1e-4)
                ended.add(found.ended)
        assert ended == {True, False}

    def test_the_alignment_is_that_of_the_path(self):
        made, source, path = model(), np.array([1, 4, 2]), (2, 1, END)
        weights = alignment(made, source, path, END)
        assert weights.shape == (3, 3)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(alignment(made, source, path[:2], END), weights[:2], rtol=1e-4)
        assert alignment(model("none"), source, path, END) is None


class TestScheduledSampling:
    SOURCE, LENGTHS = np.tile([[1, 2], [3, 4]], 300), np.tile([1, 2], 300)
    INPUTS = np.tile([[3, 3], [1, 2], [0, 1]], 300)

    def drawn(self, made, kept, seed=0, inputs=INPUTS):
        rng = np.random.default_rng(seed)
        return scheduled_inputs(made, self.SOURCE, self.LENGTHS, inputs, kept, rng)

    def test_what_is_kept_and_what_is_drawn(self):
        made, before = model(), self.INPUTS.copy()
        np.testing.assert_array_equal(self.drawn(made, 1.0), self.INPUTS)
        found = self.drawn(made, 0.0)
        np.testing.assert_array_equal(self.INPUTS, before)
        assert (found[0] == END).all()
        with mg.no_grad():
            p = mg.softmax(made(self.SOURCE, self.LENGTHS, self.INPUTS[:1])).numpy()[0, :2]
        shares = [np.bincount(found[1, n::2], minlength=4) / 300 for n in (0, 1)]
        np.testing.assert_allclose(shares, p, atol=0.1)

    def test_later_draws_depend_on_earlier_ones(self):
        """They are the model's after what it has drawn, not after the right tokens."""
        made, other = model(), self.INPUTS.copy()
        other[1] = 0
        np.testing.assert_array_equal(self.drawn(made, 0.0), self.drawn(made, 0.0, inputs=other))

    def test_the_decay(self):
        k = 50.0
        assert kept_share(0, k) == pytest.approx(k / (k + 1))
        assert kept_share(round(k * np.log(k)), k) == pytest.approx(0.5, abs=0.01)
        assert kept_share(10**9, k) == pytest.approx(0, abs=1e-9)
