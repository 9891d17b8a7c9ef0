from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.data import ByteVocabulary, Vocabulary
from models.rnnlm import RNNLM
from models.writing.beam import beam_search
from models.writing.sampling import Reader, generate
from models.writing.search import length_penalty, search

LETTERS = Vocabulary("abc.", unk=None)


def model(seed=0, size=4, cell="lstm", num_layers=2):
    lm = RNNLM(size, 5, 6, cell, num_layers, dropout=0.5, rng=np.random.default_rng(seed))
    for p in lm.parameters():  # or all would be equally likely
        p.data = p.data * 3
    return lm


def searched(lm, start, *options, **more):
    """What `search` finds after some ids of a language model."""
    ask = Reader(lm)
    return search(ask, *ask.read(start), *options, **more)


def log_probability(lm, start, path):
    """Of a path after some ids, by one run over all of it."""
    lm.eval()
    ids = [*start, *path]
    losses = mg.cross_entropy(lm(np.array(ids[:-1]))[0], np.array(ids[1:]), reduction="none")
    lm.train()
    return -float(losses.numpy().astype(np.float64)[len(start) - 1 :].sum())


def exhaustive(lm, start, length, alpha, end, banned=()):
    """All paths, the best first, as (path, log probability, score)."""
    usable = [i for i in range(4) if i not in banned]
    complete = [
        path
        for n in range(1, length + 1)
        for path in product(usable, repeat=n)
        if end not in path[:-1] and (path[-1] == end or n == length)
    ]
    scored = [(path, log_probability(lm, start, path)) for path in complete]
    ranked = [(path, p, p / length_penalty(len(path), alpha)) for path, p in scored]
    return sorted(ranked, key=lambda each: -each[2])


@pytest.mark.host(reason="it goes by numbers that have come back from the device")
class TestSearch:
    @pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
    @pytest.mark.parametrize("end", [3, None])
    def test_wide_enough_it_finds_the_best_of_all(self, alpha, end):
        for seed in range(3):
            lm = model(seed)
            expected = exhaustive(lm, [0, 1], 3, alpha, end)
            paths = searched(lm, [0, 1], 3, 4**3, alpha, ends=lambda path: path[-1] == end)
            assert [path.ids for path in paths] == [path for path, _, _ in expected]
            for found, (_, p, score) in zip(paths, expected, strict=True):
                assert found.log_probability == pytest.approx(p, abs=1e-5)
                assert found.score == pytest.approx(score, abs=1e-5)

    @settings(max_examples=25)
    @given(width=st.integers(1, 6), seed=st.integers(0, 5), length=st.integers(1, 5))
    def test_narrow_it_follows_the_best_so_far(self, width, seed, length):
        lm, beam = model(seed), [((), 0.0)]
        for _ in range(length):
            longer = [(*path, i) for path, _ in beam for i in range(4)]
            scored = [(path, log_probability(lm, [2], path)) for path in longer]
            beam = sorted(scored, key=lambda each: -each[1])[:width]
        found = searched(lm, [2], length, width)
        assert [path.ids for path in found] == [path for path, _ in beam]

    def test_an_ended_path_keeps_its_place(self):
        lm = model()
        ends = lambda path: path[-1] == 3  # noqa: E731
        for width in (1, 2, 3):
            found = searched(lm, [0], 6, width, ends=ends)
            assert len(found) == width
            assert all(path.ended == (path.ids[-1] == 3) for path in found)
            assert all(len(path.ids) == 6 for path in found if not path.ended)

    def test_banned(self):
        lm = model()
        expected = exhaustive(lm, [0], 3, 0.0, None, banned=[1, 3])
        found = searched(lm, [0], 3, 99, banned=[1, 3])
        assert [path.ids for path in found] == [path for path, _, _ in expected]

    def test_of_equals_the_first(self):
        lm = model()
        for p in lm.parameters():
            p.data = p.data * 0
        found = searched(lm, [0], 2, 5)
        assert [path.ids for path in found] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]

    def test_nothing_to_write(self):
        (path,) = searched(model(), [0], 0, 5)
        assert path == ((), 0.0, 0.0, False)


class TestBeamSearch:
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    @pytest.mark.parametrize("stop", [[], ["."], ["ca", "bb"]])
    def test_the_narrowest_is_greedy(self, cell, stop):
        for seed in range(4):
            lm = model(seed, cell=cell)
            rng = np.random.default_rng(0)
            greedy = "".join(generate(lm, LETTERS, "ab", 30, temperature=0, stop=stop, rng=rng))
            (found,) = beam_search(lm, LETTERS, "ab", 30, width=1, stop=stop)
            assert found.text == greedy
            assert found.ended == (len(greedy) < 32)

    def test_wider_is_likelier(self):
        gained = 0.0
        for seed in range(10):
            one, wide = (
                beam_search(model(seed), LETTERS, "a", 12, width=width)[0].log_probability
                for width in (1, 20)
            )
            gained += wide - one
        assert gained > 1

    def test_hypotheses(self):
        lm = model()
        found = beam_search(lm, LETTERS, "ab", 8, width=6, stop=["."], alpha=0.5)
        assert len(found) == 6
        assert [each.score for each in found] == sorted((h.score for h in found), reverse=True)
        assert len({each.text for each in found}) == 6
        for each in found:
            written = each.text[2:] + "." * each.ended
            assert each.text.startswith("ab")
            assert "." not in each.text[2:]
            assert each.tokens == len(written)
            path = LETTERS.encode(written)
            assert each.log_probability == pytest.approx(
                log_probability(lm, LETTERS.encode("ab"), path), abs=1e-5
            )
            penalty = length_penalty(each.tokens, 0.5)
            assert each.score == pytest.approx(each.log_probability / penalty)
        assert found == beam_search(lm, LETTERS, "ab", 8, width=6, stop=["."], alpha=0.5)

    def test_length_penalty(self):
        assert length_penalty(1, 0.6) == 1
        assert length_penalty(13, 1.0) == 3
        assert length_penalty(99, 0.0) == 1

    def test_favouring_length(self):
        def shortest(alpha):
            found = beam_search(model(1), LETTERS, "", 10, width=50, stop=["."], alpha=alpha)
            return found[0].tokens

        assert shortest(0.0) < shortest(5.0)

    def test_words(self):
        words = Vocabulary(["<unk>", "<eos>", "a", "b"], level="word", unk="<unk>", eos="<eos>")
        lm = model()
        found = beam_search(lm, words, "a c", 6, width=9, stop=["<eos>"], knows_unknown=True)
        assert all(each.text.startswith("a <unk>") for each in found)
        assert not any("<unk>" in each.text[7:] or "\n" in each.text for each in found)
        assert any(each.ended for each in found)
        with pytest.raises(ValueError, match=r"lacks.*: 'c'"):
            beam_search(lm, words, "a c", 6, width=2)
        # the space before a word counts, also after the prompt
        for each in beam_search(lm, words, "a", 6, width=9, stop=[" b"]):
            assert " b" not in each.text

    def test_bytes(self):
        lm = model(size=256)
        found = beam_search(lm, ByteVocabulary(), "한", 5, width=3)
        assert all(each.text.startswith("한") for each in found)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"width": 0}, "width of the beam must be at least 1, got 0"),
            ({"length": -1}, "length must be at least 0, got -1"),
            ({"alpha": -0.1}, "alpha must be a number of at least 0, got -0.1"),
            ({"alpha": np.nan}, "alpha"),
            ({"stop": [""]}, "stop text must not be empty"),
        ],
    )
    def test_options_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            beam_search(model(), LETTERS, "", **{"length": 2, "width": 2, **options})

    def test_unusable_weights(self):
        lm = model()
        lm.output.bias.data[0] = np.inf
        with pytest.raises(ValueError, match="not finite"):
            beam_search(lm, LETTERS, "", 2, width=2)
