"""Pairs of sentences, their tokens, and how translations are measured."""

import unicodedata

import pytest

from models.measuring.translation_scores import (
    bleu,
    character_error_rate,
    chrf,
    edit_distance,
    exact_matches,
)
from models.reading.sentence_pairs import Pairs, load_pairs, read_pairs, romanised, split_pairs
from models.reading.sentence_tokens import SentenceTokens
from models.simpler.nearest_source import NearestSource

pytestmark = pytest.mark.host(reason="texts are read on the host")


@pytest.fixture
def written(tmp_path):
    def write(text, name="pairs.tsv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


class TestReading:
    def test_further_columns_are_not_read_and_bad_lines_are_told(self, written):
        decomposed = unicodedata.normalize("NFD", "안녕")
        file = written(f"Hi.\t{decomposed} \tby me\n\nGo.\n \t가.\nA  b\tc\n")
        pairs, bad = read_pairs(file)
        assert pairs == Pairs(["Hi.", "A b"], ["안녕", "c"])
        assert [(line.number, line.reason) for line in bad] == [
            (3, "1 columns of 2"),
            (4, "no source"),
        ]

    def test_columns_by_name_and_number(self, written):
        file = written("en\tde\tko\none\teins\t하나\n")
        assert read_pairs(file, "ko", "de")[0] == Pairs(["하나"], ["eins"])
        assert read_pairs(file, "2", "1")[0] == Pairs(["de", "eins"], ["en", "one"])

    @pytest.mark.parametrize(
        ("text", "columns", "message"),
        [
            ("", (), "is empty"),
            ("a\tb\n", ("1", "fr"), "no column '1'"),
            ("en\tb\n", ("en", "fr"), "no column 'fr'"),
            ("a\tb\n", ("0", "1"), "counted from 1"),
            ("a\tb\n", ("2", "2"), "the same column"),
            ("a b\n", (), "no line with a source and a target: line 1"),
            (b"a\tb\n\xff\tb\n", (), "not UTF-8, in line 2"),
        ],
    )
    def test_what_is_refused(self, written, text, columns, message):
        with pytest.raises(ValueError, match=message):
            read_pairs(written(text), *columns)


class TestSplitting:
    def test_no_sentence_is_in_two_parts(self):
        pairs = Pairs(*zip(*((f"s{i % 40}", f"t{i * i % 70}") for i in range(300)), strict=True))
        pairs = Pairs(list(pairs.sources), list(pairs.targets))
        parts = split_pairs(pairs, [0.7, 0.2, 0.1], 0)
        found = [pair for part in parts for pair in zip(*part, strict=True)]
        assert sorted(found) == sorted(zip(*pairs, strict=True))
        for side in (0, 1):
            kinds = [set(part[side]) for part in parts]
            assert not kinds[0] & kinds[1] | kinds[0] & kinds[2] | kinds[1] & kinds[2]

    def test_shares_and_seeds(self):
        pairs = Pairs([f"s{i}" for i in range(200)], [f"t{i}" for i in range(200)])
        first, again, other = (split_pairs(pairs, [0.8, 0.1, 0.1], seed) for seed in (0, 0, 1))
        assert [len(part.sources) for part in first] == [160, 20, 20]
        assert first == again
        assert first != other

    def test_files_to_test_on_are_not_trained_on(self, written):
        data = written("".join(f"s{i}\tt{i}\n" for i in range(40)))
        test = written("s1\tnew\nnew\tt2\nx\ty\n", "test.tsv")
        parts = load_pairs([str(data)], test=str(test))
        assert len(parts.test.sources) == 3
        known = {*parts.train.sources, *parts.valid.sources, *parts.train.targets}
        assert not known & {"s1", "s2", "t1", "t2"}
        assert len(parts.train.sources) + len(parts.valid.sources) == 38
        assert parts.fingerprint != load_pairs([str(data)]).fingerprint
        with pytest.raises(ValueError, match="too few pairs"):
            load_pairs([str(written("a\tb\n"))])


def test_each_syllable_of_hangul_is_in_one_word_and_read_by_its_letters():
    parts = load_pairs(["hangul"])
    words = [word for part in (parts.train, parts.valid, parts.test) for word in part.sources]
    assert sorted("".join(words)) == [chr(code) for code in range(0xAC00, 0xD7A4)]
    assert romanised("안녕하세요, 값!") == "annyeonghaseyo, gabs!"


class TestTokens:
    @pytest.mark.parametrize("level", ["char", "jamo", "word"])
    def test_a_sentence_comes_back(self, level):
        sentences = ["Don't go (please)!", "값이 비싸다.", "3,5 %"]
        tokens = SentenceTokens.learnt(level, sentences)
        for sentence in sentences:
            ids = tokens.encode(sentence)
            assert tokens.decode(ids) == sentence
            assert tokens.end not in ids.tolist()
        assert tokens.encode("☃").tolist() == [tokens.unknown]

    def test_what_a_token_is(self):
        shown = {}
        for level in ("char", "jamo", "word"):
            tokens = SentenceTokens.learnt(level, ["값이 go."])
            shown[level] = tokens.tokens(tokens.encode("값이 go."))
        assert shown["char"] == list("값이 go.")
        assert shown["jamo"] == ["ㄱ", "ㅏ", "ㅄ", "ㅇ", "ㅣ", *" go."]
        assert shown["word"] == ["값이", "go", "."]


class TestScores:
    def test_edit_distance(self):
        cases = {("", ""): 0, ("", "abc"): 3, ("kitten", "sitting"): 3, ("ab", "ba"): 2}
        for (a, b), distance in cases.items():
            assert edit_distance(a, b) == edit_distance(b, a) == distance

    def test_rates(self):
        assert character_error_rate(["ab", "x"], ["abcd", "x"]) == pytest.approx(2 / 5)
        assert exact_matches(["ab", "x"], ["abcd", "x"]) == 0.5

    def test_bleu_and_chrf(self):
        pytest.importorskip("sacrebleu")
        wanted = ["the cat is on the mat", "it is raining today again"]
        for measure in (bleu, chrf):
            assert measure(wanted, wanted) == pytest.approx(100)
            assert 0 < measure(["the cat is on a mat", wanted[1]], wanted) < 100

    def test_without_sacrebleu_the_error_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
        with pytest.raises(ModuleNotFoundError, match=r"\[translate\]"):
            bleu(["a"], ["a"])


def test_the_nearest_source():
    known = NearestSource(["a red house", "a green tree", "the sea"], ["H", "T", "S"])
    assert [known.translate(s) for s in ("the red houses", "a tree", "sea", "☃")] == list("HTSH")
