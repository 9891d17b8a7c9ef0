from collections import deque
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.data import ByteVocabulary, Vocabulary
from models.rnnlm import RNNLM
from models.writing.prompts import StopTexts, first_id, read_prompt, unknown_symbols
from models.writing.sampling import (
    PROMPT_WINDOW,
    ROWS,
    Reader,
    generate,
    generate_many,
    next_token_probabilities,
)

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

    @pytest.mark.parametrize("temperature", [1e-4, 1e-300, 5e-324, 0])
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
        assert next_token_probabilities(np.zeros(4), temperature=0).tolist() == [1, 0, 0, 0]
        assert next_token_probabilities(np.zeros(4), top_k=1).tolist() == [1, 0, 0, 0]

    def test_banned(self):
        p = next_token_probabilities(LOGITS, banned=[1])
        np.testing.assert_allclose(p, [0.2, 0, 0.3, 0.5], rtol=1e-12)
        assert next_token_probabilities(LOGITS, top_k=1, banned=[1]).tolist() == [0, 0, 0, 1]
        assert next_token_probabilities(LOGITS, 0, banned=[1]).tolist() == [0, 0, 0, 1]
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
            ({"temperature": -1.0}, "temperature must be a number of at least 0, got -1"),
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
        calls = mg.zeros((ids.shape[1], 1)) if state is None else state
        assert not self.training
        assert calls.shape == (ids.shape[1], 1)
        self.inputs.append((ids[:, 0].tolist(), calls.numpy()[0, 0]))
        logits = np.zeros((*ids.shape, self.size), np.float32)
        np.put_along_axis(logits, (ids[..., None] + 1) % self.size, 9, -1)
        return mg.tensor(logits), calls + 1


def rng(seed=0):
    return np.random.default_rng(seed)


def letters(**options):
    return Vocabulary("abcde", unk=None, **options)


WORDS = Vocabulary(["one", "two", "<eos>", "three"], level="word", eos="<eos>")


class TestGenerate:
    @pytest.mark.parametrize("greedy", [{"top_k": 1}, {"temperature": 0}])
    def test_greedy(self, greedy):
        model = Counter(5)
        pieces = list(generate(model, letters(), "ab", 4, **greedy, rng=rng()))
        assert pieces == ["ab", "c", "d", "e", "a"]
        assert list(model.inputs) == [([0, 1], 0), ([2], 1), ([3], 2), ([4], 3)]
        assert model.training

    def test_nothing_is_asked_before_it_is_needed(self):
        model = Counter(5)
        pieces = generate(model, letters(), "ab", 4, rng=rng())
        assert next(pieces) == "ab"
        assert not model.inputs
        next(pieces)
        assert len(model.inputs) == 1
        assert model.training

    def test_the_same_seed_the_same_text(self):
        model = RNNLM(5, 3, 4, rng=rng())

        def text(seed):
            return "".join(generate(model, letters(), "a", 40, rng=rng(seed)))

        assert text(1) == text(1)
        assert text(1) != text(2)
        assert len(text(1)) == 41

    def test_the_frequencies_are_the_probabilities(self):
        text = "".join(generate(Counter(5), letters(), "a", 3000, temperature=3.0, rng=rng()))
        follows = sum((ord(b) - ord(a)) % 5 == 1 for a, b in pairwise(text))
        expected = np.exp(3) / (np.exp(3) + 4)
        assert abs(follows / 3000 - expected) < 0.03

    def test_nothing_to_write(self):
        assert list(generate(Counter(5), letters(), "ab", 0, rng=rng())) == ["ab"]
        assert list(generate(Counter(5), letters(), "", 0, rng=rng())) == []

    def test_a_long_prompt_is_read_in_windows(self):
        model = RNNLM(5, 3, 4, num_layers=2, dropout=0.5, rng=rng())
        ids = rng().integers(0, 5, 2 * PROMPT_WINDOW + 7)
        logits, state = Reader(model).read(ids.tolist())
        model.eval()
        expected, end = model(ids[:, None])
        np.testing.assert_allclose(logits, expected.numpy()[-1], rtol=1e-5, atol=1e-6)
        for layer, same in zip(state, end, strict=True):
            for part, other in zip(layer, same, strict=True):
                np.testing.assert_allclose(part.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("vocabulary", "first"),
        [
            (Vocabulary(["<unk>", "a", "\n"], unk="<unk>"), 2),
            (Vocabulary(["<unk>", "a", "b"], unk="<unk>"), 1),
            (Vocabulary("ab", unk=None), 0),
            (Vocabulary(["a", "b"], level="word"), 0),
            (Vocabulary(["a", "<eos>", "b"], level="word", eos="<eos>"), 1),
            (ByteVocabulary(), 10),
        ],
    )
    def test_without_a_prompt_a_line_starts(self, vocabulary, first):
        model = Counter(len(vocabulary))
        list(generate(model, vocabulary, "", 1, rng=rng()))
        assert model.inputs[0][0] == [first] == [first_id(vocabulary)]

    def test_the_unknown_is_never_written(self):
        vocabulary = Vocabulary(["a", "b", "<unk>"], unk="<unk>")
        text = "".join(generate(Counter(3), vocabulary, "", 50, temperature=9.0, rng=rng()))
        assert set(text) == {"a", "b"}

    def test_words_and_lines(self):
        pieces = generate(Counter(4), WORDS, " one ", 7, top_k=1, rng=rng())
        assert "".join(pieces) == "one two\nthree one two\nthree"
        pieces = generate(Counter(4), WORDS, "", 3, top_k=1, rng=rng())
        assert "".join(pieces) == "three one two"

    def test_bytes_come_as_whole_characters(self):
        class Writes(nn.Module):  # the bytes of a text, one after the other
            def forward(self, ids, state):
                place = 0 if state is None else int(state.numpy().flat[0])
                logits = np.zeros((*ids.shape, 256), np.float32)
                logits[..., "한a글".encode()[place]] = 9
                return mg.tensor(logits), mg.full((ids.shape[1], 1), place + 1)

        pieces = generate(Writes(), ByteVocabulary(), "é", 7, temperature=0, rng=rng())
        assert list(pieces) == ["é", "한", "a", "글"]
        pieces = generate(Writes(), ByteVocabulary(), "é", 5, temperature=0, rng=rng())
        assert list(pieces) == ["é", "한", "a", "\ufffd"]

    def test_bad_options_at_once(self):
        for options, message in (
            ({"temperature": -1}, "temperature"),
            ({"stop": [""]}, "stop text must not be empty"),
            ({"length": -1}, "length must be at least 0, got -1"),
        ):
            with pytest.raises(ValueError, match=message):
                generate(Counter(5), letters(), "", **{"length": 1, **options}, rng=rng())

    def test_unusable_weights(self):
        model = RNNLM(5, 3, 4, rng=rng())
        model.output.weight.data[:] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            list(generate(model, letters(), "a", 1, rng=rng()))
        assert model.training


class TestPrompt:
    @pytest.mark.parametrize(
        ("vocabulary", "prompt", "message"),
        [
            (Vocabulary("ab", unk=None), "aXb한", "characters .* lacks: 'X', '한';"),
            (Vocabulary(["<unk>", "a"], unk="<unk>"), "xa\n", r"lacks: 'x', '\\n';"),
            (Vocabulary(["a", "b"], level="word"), "a c d\n", "words .* lacks: 'c', 'd';"),
            (Vocabulary("a", unk=None), "bcdefgh", "'b', 'c', 'd', 'e', 'f', ...; .*--level byte"),
        ],
    )
    def test_unknown_symbols(self, vocabulary, prompt, message):
        with pytest.raises(ValueError, match=message):  # at once, not with the first piece
            generate(Counter(2), vocabulary, prompt, 1, rng=rng())

    def test_a_model_that_knows_unknown_words(self):
        vocabulary = Vocabulary(["<unk>", "a", "b"], level="word", unk="<unk>")
        options = {"temperature": 0, "rng": rng()}
        pieces = generate(Counter(3), vocabulary, "b c", 1, knows_unknown=True, **options)
        assert "".join(pieces) == "b <unk> a"
        assert unknown_symbols(vocabulary, "b c d a c") == ["c", "d"]
        with pytest.raises(ValueError, match="lacks: 'c'"):  # there is nothing to know
            read_prompt(Vocabulary("ab", unk=None), "abc", knows_unknown=True)

    def test_words_that_the_text_itself_calls_unknown(self):
        vocabulary = Vocabulary(["<unk>", "a"], level="word", unk="<unk>")
        pieces = generate(Counter(2), vocabulary, "a <unk>", 1, rng=rng())
        assert "".join(pieces) == "a <unk> a"

    def test_bytes_know_everything(self):
        assert unknown_symbols(ByteVocabulary(), "한 🐎\0") == []
        assert read_prompt(ByteVocabulary(), "é") == [0xC3, 0xA9]


class TestStopTexts:
    def written(self, stop, tokenizer=None, size=5, prompt="ab", length=12):
        tokenizer = tokenizer or letters()
        options = {"temperature": 0, "stop": stop, "rng": rng()}
        return list(generate(Counter(size), tokenizer, prompt, length, **options))

    def test_the_text_ends_before_it(self):
        assert self.written(["e"]) == ["ab", "c", "d"]
        assert self.written(["ea"]) == ["ab", "c", "d"]
        assert self.written(["zz", "ab"]) == ["ab", "c", "d", "e"]

    def test_the_prompt_does_not_count(self):
        assert self.written(["b"]) == ["ab", "c", "d", "e", "a"]
        assert self.written(["bc"]) == ["ab", "c", "d", "e", "a"]

    def test_what_was_held_back_comes_in_the_end(self):
        assert self.written(["ax"], length=6) == ["ab", "c", "d", "e", "ab", "c"]
        assert self.written(["abcx"], length=5) == ["ab", "c", "d", "e", "ab"]

    def test_line_ends(self):
        for stop in ("\n", "<eos>"):
            assert "".join(self.written([stop], WORDS, 4, "three")) == "three one two"
        assert "".join(self.written(["<eos>", "two\nx"], WORDS, 4, "three")) == "three one two"
        characters = Vocabulary(["a", "b", "<eos>"], unk=None, eos="<eos>")
        assert "".join(self.written(["<eos>"], characters, 3, "a")) == "ab"

    def test_eos_is_a_text_like_any_other_where_there_is_none(self):
        vocabulary = Vocabulary("<eos>"[:4] + ">", unk=None)
        assert "".join(self.written(["<eos>"], vocabulary, 5, "s>", 9)) == "s>"

    @given(
        text=st.text("abc", max_size=20),
        stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
        data=st.data(),
    )
    def test_pieces_do_not_matter(self, text, stops, data):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
        found = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
        expected = text[: min(found)[1]] if found else text
        stop, shown = StopTexts(letters(), stops), ""
        for piece in pieces:
            shown += stop.push(piece)
            assert expected.startswith(shown)
            if stop.reached:
                break
        if not stop.reached:
            shown += stop.flush()
        assert shown == expected
        assert stop.reached == bool(found)


class TestGenerateMany:
    def texts(self, count, length=60, **options):
        model = RNNLM(5, 8, 16, "gru", num_layers=2, rng=rng())
        rngs = [rng([7, i]) for i in range(count)]
        texts = ["" for _ in rngs]
        for n, piece in generate_many(model, letters(), "ab", length, rngs=rngs, **options):
            texts[n] += piece
        return texts

    def test_each_is_the_same_however_many_there_are(self):
        many = self.texts(ROWS + 3)
        assert len(set(many)) == len(many)
        for count in (1, 2, ROWS, ROWS + 1):
            assert self.texts(count) == many[:count]

    def test_the_first_is_what_generate_writes(self):
        model = RNNLM(5, 8, 16, "gru", num_layers=2, rng=rng())
        text = "".join(generate(model, letters(), "ab", 60, rng=rng([7, 0])))
        assert self.texts(3)[0] == text

    def test_one_may_end_before_the_others(self):
        plain, stopped = self.texts(5), self.texts(5, stop=["dd"])
        expected = [text if "dd" not in text else text[: text.index("dd")] for text in plain]
        assert stopped == expected
        assert len({len(text) for text in stopped}) > 1

    def test_none_and_nothing(self):
        assert self.texts(0) == []
        assert self.texts(2, length=0) == ["ab", "ab"]

    def test_the_prompt_is_read_once(self):
        model = Counter(5)
        list(generate_many(model, letters(), "abc", 3, rngs=[rng(i) for i in range(ROWS + 2)]))
        assert [ids for ids, _ in model.inputs].count([0, 1, 2]) == 1
