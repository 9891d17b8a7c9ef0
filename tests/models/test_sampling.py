from collections import deque
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import Vocabulary
from models import RNNLM
from models.sampling import generate, next_token_probabilities

LOGITS = np.log(np.array([0.1, 0.5, 0.15, 0.25]))


class TestNextTokenProbabilities:
    def test_softmax(self):
        p = next_token_probabilities(LOGITS.astype(np.float32))
        assert p.dtype == np.float64
        np.testing.assert_allclose(p, [0.1, 0.5, 0.15, 0.25], rtol=1e-6)

    def test_temperature_is_a_power(self):
        squared = np.array([0.01, 0.25, 0.0225, 0.0625])
        p = next_token_probabilities(LOGITS, temperature=0.5)
        np.testing.assert_allclose(p, squared / squared.sum(), rtol=1e-12)

    @pytest.mark.parametrize("temperature", [1e-4, 1e-300, 5e-324])
    def test_towards_0_the_likeliest_takes_all(self, temperature):
        assert next_token_probabilities(LOGITS, temperature).tolist() == [0, 1, 0, 0]

    def test_towards_infinity_all_are_equal(self):
        np.testing.assert_allclose(next_token_probabilities(LOGITS, 1e300), [0.25] * 4)

    @pytest.mark.parametrize(
        ("k", "expected"),
        [
            (1, [0, 1, 0, 0]),
            (2, [0, 2 / 3, 0, 1 / 3]),
            (3, [0, 5 / 9, 1.5 / 9, 2.5 / 9]),
            (4, [0.1, 0.5, 0.15, 0.25]),
            (99, [0.1, 0.5, 0.15, 0.25]),
        ],
    )
    def test_top_k(self, k, expected):
        np.testing.assert_allclose(next_token_probabilities(LOGITS, top_k=k), expected, rtol=1e-12)

    @pytest.mark.parametrize(
        ("p", "expected"),
        [
            (1e-9, [0, 1, 0, 0]),
            (0.49, [0, 1, 0, 0]),
            (0.51, [0, 2 / 3, 0, 1 / 3]),
            (0.74, [0, 2 / 3, 0, 1 / 3]),
            (0.76, [0, 5 / 9, 1.5 / 9, 2.5 / 9]),
            (0.91, [0.1, 0.5, 0.15, 0.25]),
            (1.0, [0.1, 0.5, 0.15, 0.25]),
        ],
    )
    def test_top_p_is_the_smallest_set_that_reaches_it(self, p, expected):
        np.testing.assert_allclose(next_token_probabilities(LOGITS, top_p=p), expected, rtol=1e-12)

    def test_top_p_of_what_top_k_left(self):
        # of 0.5, 0.25, 0.15 the first two have 5/6
        p = next_token_probabilities(LOGITS, top_k=3, top_p=0.8)
        np.testing.assert_allclose(p, [0, 2 / 3, 0, 1 / 3], rtol=1e-12)

    def test_of_equal_tokens_the_first(self):
        assert next_token_probabilities(np.zeros(4), top_k=2).tolist() == [0.5, 0.5, 0, 0]
        assert next_token_probabilities(np.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]

    def test_banned(self):
        p = next_token_probabilities(LOGITS, banned=[1])
        np.testing.assert_allclose(p, [0.2, 0, 0.3, 0.5], rtol=1e-12)
        assert next_token_probabilities(LOGITS, top_k=1, banned=[1]).tolist() == [0, 0, 0, 1]
        with pytest.raises(ValueError, match="no token left"):
            next_token_probabilities(LOGITS, banned=range(4))

    def test_huge_logits(self):
        assert next_token_probabilities(np.array([1e30, -1e30])).tolist() == [1, 0]

    def test_logits_are_not_changed(self):
        logits = LOGITS.copy()
        next_token_probabilities(logits, 0.5, 2, 0.9, [0])
        assert np.array_equal(logits, LOGITS)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_unusable_logits(self, value):
        with pytest.raises(ValueError, match="not finite"):
            next_token_probabilities(np.array([0.0, value]))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"temperature": 0.0}, "temperature must be a number above 0, got 0"),
            ({"temperature": -1.0}, "temperature"),
            ({"temperature": np.nan}, "temperature"),
            ({"temperature": np.inf}, "temperature"),
            ({"top_k": 0}, "top-k must be at least 1, got 0"),
            ({"top_p": 0.0}, "top-p must be above 0 and at most 1, got 0"),
            ({"top_p": 1.1}, "top-p"),
            ({"top_p": np.nan}, "top-p"),
        ],
    )
    def test_options_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            next_token_probabilities(LOGITS, **options)


class Counter(nn.Module):
    """Sees token i, and gives token i + 1 the logit 9 and all others 0; the state counts calls."""

    def __init__(self, size):
        self.size = size
        self.inputs = deque()  # no list, which would be searched for parameters

    def forward(self, ids, state):
        self.inputs.append((ids.tolist(), state, self.training))
        logits = np.zeros((len(ids), self.size), np.float32)
        logits[np.arange(len(ids)), (ids + 1) % self.size] = 9
        return mg.tensor(logits), (state or 0) + 1


class TestGenerate:
    def letters(self, **options):
        return Vocabulary("abcde", unk=None, **options)

    def test_greedy(self):
        rng = np.random.default_rng(0)
        model = Counter(5)
        pieces = list(generate(model, self.letters(), "ab", 4, top_k=1, rng=rng))
        assert pieces == ["ab", "c", "d", "e", "a"]
        assert list(model.inputs) == [
            ([0, 1], None, False), ([2], 1, False), ([3], 2, False), ([4], 3, False)
        ]  # fmt: skip
        assert model.training

    def test_the_same_seed_the_same_text(self):
        model = RNNLM(5, 3, 4, rng=np.random.default_rng(0))

        def text(seed):
            rng = np.random.default_rng(seed)
            return "".join(generate(model, self.letters(), "a", 40, rng=rng))

        assert text(1) == text(1)
        assert text(1) != text(2)
        assert len(text(1)) == 41

    def test_the_frequencies_are_the_probabilities(self):
        rng = np.random.default_rng(0)
        text = "".join(generate(Counter(5), self.letters(), "a", 3000, temperature=3.0, rng=rng))
        follows = sum((ord(b) - ord(a)) % 5 == 1 for a, b in pairwise(text))
        expected = np.exp(3) / (np.exp(3) + 4)
        assert abs(follows / 3000 - expected) < 0.03

    def test_nothing_to_write(self):
        rng = np.random.default_rng(0)
        assert list(generate(Counter(5), self.letters(), "ab", 0, rng=rng)) == ["ab"]
        assert list(generate(Counter(5), self.letters(), "", 0, rng=rng)) == []

    @pytest.mark.parametrize(
        ("vocabulary", "first"),
        [
            (Vocabulary(["<unk>", "a", "\n"], unk="<unk>"), 2),
            (Vocabulary(["<unk>", "a", "b"], unk="<unk>"), 1),
            (Vocabulary(["a", "<eos>", "b"], level="word", eos="<eos>"), 1),
        ],
    )
    def test_without_a_prompt_a_line_starts(self, vocabulary, first):
        model = Counter(3)
        list(generate(model, vocabulary, "", 1, rng=np.random.default_rng(0)))
        assert model.inputs[0][0] == [first]

    def test_the_unknown_is_never_written(self):
        vocabulary = Vocabulary(["a", "b", "<unk>"], unk="<unk>")
        text = "".join(
            generate(Counter(3), vocabulary, "", 50, temperature=9.0, rng=np.random.default_rng(0))
        )
        assert set(text) == {"a", "b"}

    def test_words_and_lines(self):
        vocabulary = Vocabulary(["one", "two", "<eos>", "three"], level="word", eos="<eos>")
        rng = np.random.default_rng(0)
        pieces = generate(Counter(4), vocabulary, " one ", 7, top_k=1, rng=rng)
        assert "".join(pieces) == "one two\nthree one two\nthree"
        pieces = generate(Counter(4), vocabulary, "", 3, top_k=1, rng=rng)
        assert "".join(pieces) == "three one two"

    @pytest.mark.parametrize(
        ("vocabulary", "prompt", "message"),
        [
            (Vocabulary("ab", unk=None), "aXb한", "characters .* lacks: 'X', '한'$"),
            (Vocabulary(["<unk>", "a"], unk="<unk>"), "xa\n", r"lacks: 'x', '\\n'$"),
            (Vocabulary(["a", "b"], level="word"), "a c d\n", "words .* lacks: 'c', 'd'$"),
            (Vocabulary("a", unk=None), "bcdefgh", "'b', 'c', 'd', 'e', 'f', ...$"),
        ],
    )
    def test_prompt_with_unknown_symbols(self, vocabulary, prompt, message):
        with pytest.raises(ValueError, match=message):  # at once, not with the first piece
            generate(Counter(2), vocabulary, prompt, 1, rng=np.random.default_rng(0))

    def test_words_that_the_text_itself_calls_unknown(self):
        vocabulary = Vocabulary(["<unk>", "a"], level="word", unk="<unk>")
        pieces = generate(Counter(2), vocabulary, "a <unk>", 1, rng=np.random.default_rng(0))
        assert "".join(pieces) == "a <unk> a"

    def test_bad_options_at_once(self):
        with pytest.raises(ValueError, match="temperature"):
            generate(Counter(5), self.letters(), "", 1, temperature=0, rng=np.random.default_rng(0))
