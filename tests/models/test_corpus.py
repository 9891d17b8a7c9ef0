from unicodedata import normalize

import numpy as np
import pytest

from minigrad.data import (
    ByteVocabulary,
    TextDecoder,
    Vocabulary,
    split,
    tokenized,
)
from minigrad.data.tokens import token_files
from models import corpus as corpora
from models.corpus import Size, find_part, load_corpus


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINIGRAD_CACHE", str(directory))
    return directory


@pytest.fixture
def parts(tmp_path):
    """A directory with a corpus of three parts."""
    directory = tmp_path / "corpus"
    directory.mkdir()
    for part, text in (("train", "b a b\n" * 20), ("valid", "a c\n" * 5), ("test", "a d\n" * 4)):
        (directory / f"x.{part}.txt").write_text(text, encoding="utf-8")
    return str(directory)


def texts(corpus):
    parts = (corpus.train, corpus.valid, corpus.test)
    return [None if part is None else corpus.tokenizer.decode(part) for part in parts]


class TestCutByFraction:
    def test_characters(self, text_file, rhyme):
        corpus = load_corpus(str(text_file))
        assert texts(corpus) == list(split(rhyme * 10))
        assert set(corpus.tokenizer) == {"<unk>", *rhyme}
        assert corpus.name == "fable.txt"

    def test_words_are_not_cut_and_lines_stay(self, text_file, rhyme):
        corpus = load_corpus(str(text_file), level="word", min_count=1)
        words = [word for text in texts(corpus) for word in text.split()]
        assert words == (rhyme * 10).split()
        parts = (corpus.train, corpus.valid, corpus.test)
        assert sum(int((part == corpus.tokenizer.eos_id).sum()) for part in parts) == 30

    @pytest.mark.parametrize("level", ["byte", "bpe"])
    def test_bytes(self, text_file, rhyme, level):
        if level == "bpe":
            pytest.importorskip("tokenizers")
        corpus = load_corpus(str(text_file), level=level, max_vocab={"bpe": 300}.get(level))
        assert texts(corpus) == list(split(rhyme * 10))
        assert len(corpus.tokenizer) == {"bpe": 300, "byte": 256}[level]
        assert corpus.unknown(corpus.valid) == 0

    def test_in_two(self, text_file, rhyme):
        corpus = load_corpus(str(text_file), split=(0.9, 0.1))
        assert texts(corpus) == [*split(rhyme * 10, (0.9, 0.1)), None]
        assert corpus.sizes.keys() == {"train", "valid"}
        corpus.check_length(10)

    @pytest.mark.parametrize("shares", [(1.0,), (0.4, 0.2, 0.2, 0.2)])
    def test_in_more_or_fewer(self, text_file, shares):
        with pytest.raises(ValueError, match=r"split must be two shares.* or three"):
            load_corpus(str(text_file), split=shares)

    def test_too_short_to_be_cut(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("a", encoding="utf-8")
        message = r"'a\.txt' is too short .* 21 will do\); give .* with --valid and --test"
        with pytest.raises(ValueError, match=message):
            load_corpus(str(path))


class TestParts:
    def test_of_the_text(self, parts):
        corpus = load_corpus(parts, level="word")
        assert texts(corpus) == ["b a b\n" * 20, "a <unk>\n" * 5, "a <unk>\n" * 4]
        assert corpus.tokenizer.tokens == ("<unk>", "<eos>", "b", "a")
        assert corpus.name == "corpus"

    def test_by_themselves(self, tmp_path, text_file, rhyme, parts):
        (tmp_path / "v").write_text("the wind", encoding="utf-8")
        (tmp_path / "t").write_text("the sun", encoding="utf-8")
        both = load_corpus(str(text_file), valid=str(tmp_path / "v"), test=str(tmp_path / "t"))
        assert texts(both) == [rhyme * 10, "the wind", "the sun"]
        valid = load_corpus(str(text_file), valid=str(tmp_path / "v"))
        assert texts(valid) == [rhyme * 10, "the wind", None]
        test = load_corpus(str(text_file), test=str(tmp_path / "t"), split=(0.8, 0.1, 0.1))
        assert texts(test) == [*split(rhyme * 10, (8 / 9, 1 / 9)), "the sun"]
        mixed = load_corpus(parts, test=str(tmp_path / "t"), level="byte")
        assert texts(mixed)[1:] == ["a c\n" * 5, "the sun"]

    def test_of_another_corpus(self, text_file, rhyme, parts):
        corpus = load_corpus(str(text_file), valid=parts, test=parts, level="byte")
        assert texts(corpus) == [rhyme * 10, "a c\n" * 5, "a d\n" * 4]

    def test_several_files_and_a_glob(self, tmp_path):
        for name in ("a.md", "b.md", "c.txt"):
            (tmp_path / name).write_text(name * 30, encoding="utf-8")
        corpus = load_corpus([str(tmp_path / "a.md"), str(tmp_path / "c.txt")], level="byte")
        assert "".join(texts(corpus)) == "a.md" * 30 + "\n" + "c.txt" * 30
        corpus = load_corpus(str(tmp_path), glob="*.md", level="byte")
        assert "".join(texts(corpus)) == "a.md" * 30 + "\n" + "b.md" * 30


class TestVocabulary:
    def test_is_that_of_the_training_part(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("ab" * 450 + "xy" * 50, encoding="utf-8")
        corpus = load_corpus(str(path))
        assert set(corpus.tokenizer) == {"<unk>", "a", "b"}
        assert corpus.unknown(corpus.valid) == 1
        assert corpus.unknown(corpus.train) == corpus.unknown(corpus.train[:0]) == 0

    def test_rare_words_are_unknown_unless_told_otherwise(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("rare " + "often very " * 200, encoding="utf-8")
        assert "rare" not in load_corpus(str(path), level="word").tokenizer
        assert "rare" in load_corpus(str(path), level="word", min_count=1).tokenizer
        few = load_corpus(str(path), level="word", max_vocab=3).tokenizer
        assert set(few) == {"<unk>", "<eos>", "often"}

    def test_bytes_have_no_options(self, text_file):
        for options in ({"min_count": 2}, {"max_vocab": 100}):
            with pytest.raises(ValueError, match="have no meaning with level='byte'"):
                load_corpus(str(text_file), level="byte", **options)

    def test_unknown_level(self, text_file):
        with pytest.raises(ValueError, match="level must be one of char, word, byte, bpe; got 'x'"):
            load_corpus(str(text_file), level="x")

    def test_one_that_is_there_is_used(self, text_file, rhyme):
        tokenizer = Vocabulary.from_text("the wind", level="word")
        corpus = load_corpus(str(text_file), tokenizer=tokenizer, min_count=99)
        assert corpus.tokenizer is tokenizer
        whole = tokenizer.encode(rhyme * 10).tolist()
        assert [*corpus.train, *corpus.valid, *corpus.test] == whole

    def test_small_letters(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("The İ ΟΔΟΣ\n" * 40, encoding="utf-8")
        corpus = load_corpus(str(path), keep_case=False)
        assert "".join(texts(corpus)) == ("The İ ΟΔΟΣ\n" * 40).lower()


class TestFirstTokens:
    def test_of_characters(self, text_file, rhyme):
        corpus = load_corpus(str(text_file), max_tokens=20)
        assert texts(corpus)[0] == rhyme[:20]
        assert set(corpus.tokenizer) == {"<unk>", *rhyme[:20]}
        assert len(corpus.valid) == len(load_corpus(str(text_file)).valid)
        assert corpus.sizes["train"] == Size(20, 20)

    @pytest.mark.parametrize("eos", ["<eos>", None])
    def test_of_words_and_line_ends(self, text_file, rhyme, eos):
        whole = load_corpus(str(text_file), level="word", min_count=1)
        for count in (1, 13, 14, 15, 16, 40):
            tokenizer = None if eos else Vocabulary.from_text(rhyme, level="word", eos=None)
            corpus = load_corpus(
                str(text_file), level="word", min_count=1, max_tokens=count, tokenizer=tokenizer
            )
            assert len(corpus.train) == count
            if eos:
                assert texts(corpus)[0] == whole.tokenizer.decode(whole.train[:count])

    @pytest.mark.parametrize("level", ["byte", "bpe"])
    def test_of_bytes(self, tmp_path, level):
        if level == "bpe":
            pytest.importorskip("tokenizers")
        path, text = tmp_path / "a.txt", "한국어 text — 🏳️‍🌈\n" * 40
        path.write_text(text, encoding="utf-8")
        for count in (7, 30, 100):
            corpus = load_corpus(
                str(path), level=level, max_tokens=count, max_vocab={"bpe": 300}.get(level)
            )
            decoder = TextDecoder(corpus.tokenizer)
            whole = "".join(decoder.push(int(id)) for id in corpus.train)
            assert text.startswith(whole)
            assert len(corpus.train) == count
            size = corpus.sizes["train"]
            # characters that have begun: one more, if the last is cut in two
            assert size.characters == len(whole) + (decoder.flush() != "")
            assert size.bytes == sum(len(corpus.tokenizer.token_bytes[id]) for id in corpus.train)

    def test_of_a_run_that_goes_on(self, text_file):
        for level in ("char", "word", "byte"):
            first = load_corpus(str(text_file), level=level, max_tokens=50)
            again = load_corpus(str(text_file), max_tokens=50, tokenizer=first.tokenizer)
            assert again.fingerprint == first.fingerprint
            assert np.array_equal(again.train, first.train)

    def test_more_than_there_are(self, text_file):
        whole = load_corpus(str(text_file), level="word")
        many = load_corpus(str(text_file), level="word", max_tokens=10**9)
        assert many.fingerprint == whole.fingerprint
        with pytest.raises(ValueError, match="max_tokens must be at least 1, got 0"):
            load_corpus(str(text_file), max_tokens=0)


class TestFirstTokensOfValidation:
    @pytest.mark.parametrize("level", ["char", "word", "byte", "bpe"])
    def test_are_those_of_all(self, text_file, level):
        whole = load_corpus(str(text_file), level=level)
        corpus = load_corpus(str(text_file), level=level, valid_tokens=7)
        assert len(corpus.valid) == 7
        assert (corpus.valid == whole.valid[:7]).all()
        assert (corpus.train == whole.train).all()
        assert (corpus.test == whole.test).all()
        assert corpus.sizes["valid"].characters < whole.sizes["valid"].characters
        assert corpus.fingerprint != whole.fingerprint

    def test_at_least_one(self, text_file):
        with pytest.raises(ValueError, match="valid_tokens must be at least 1"):
            load_corpus(str(text_file), valid_tokens=0)


class TestForms:
    @pytest.mark.parametrize("level", ["char", "word", "byte", "bpe"])
    def test_letters_in_parts_are_told_or_put_together(self, tmp_path, level):
        text = "말이 뛰고 있다\nthe horse\n" * 50
        for form in ("NFC", "NFD"):
            (tmp_path / form).write_text(normalize(form, text), encoding="utf-8")
        whole, parts, put_together, taken_apart = (
            load_corpus(str(tmp_path / form), level=level, normalize=into)
            for form, into in (("NFC", None), ("NFD", None), ("NFD", "nfc"), ("NFC", "nfd"))
        )
        assert (whole.in_parts, put_together.in_parts, taken_apart.in_parts) == ("", "", "")
        assert parts.in_parts == normalize("NFD", "말이")
        assert put_together.fingerprint == whole.fingerprint
        assert taken_apart.fingerprint == parts.fingerprint != whole.fingerprint


class TestSizes:
    def test_of_each_part(self, parts):
        for level in ("char", "word", "byte"):
            sizes = load_corpus(parts, level=level).sizes
            assert sizes == {"train": Size(120, 120), "valid": Size(20, 20), "test": Size(16, 16)}

    def test_characters_are_not_bytes(self, tmp_path):
        (tmp_path / "a.txt").write_text("한글 " * 100, encoding="utf-8")
        sizes = load_corpus(str(tmp_path / "a.txt"), level="word").sizes
        assert sizes["valid"] == Size(15, 35)

    def test_check_length(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("ab" * 50, encoding="utf-8")
        corpus = load_corpus(str(path))
        corpus.check_length(45)
        message = r"90 to train on, .* 92 .* batch size of 46; give .* or a smaller --batch-size"
        with pytest.raises(ValueError, match=message):
            corpus.check_length(46)
        path.write_text("ab" * 11, encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"1 to validate on, .* at least 2 .* one with --valid"
        ):
            load_corpus(str(path)).check_length(2)
        short = load_corpus(str(path), split=(0.5, 0.45, 0.05))
        with pytest.raises(ValueError, match=r"1 to test on, .* one with --test"):
            short.check_length(2)


class TestFingerprint:
    def test_tells_whether_anything_has_changed(self, tmp_path, rhyme):
        def fingerprint(text, **options):
            (tmp_path / "a.txt").write_text(text, encoding="utf-8")
            return load_corpus(str(tmp_path / "a.txt"), **options).fingerprint

        text = rhyme * 10
        different = [
            fingerprint(text),
            fingerprint(text[:-2] + "e\n"),
            fingerprint("t" + text[1:]),
            fingerprint(text, level="word"),
            fingerprint(text, level="word", max_vocab=10),
            fingerprint(text, split=(0.9, 0.1)),
            fingerprint(text, split=(0.8, 0.1, 0.1)),
            fingerprint(text, max_tokens=100),
        ]
        assert len(set(different)) == len(different)
        assert fingerprint(text) == different[0]

    def test_does_not_depend_on_where_the_ids_are(self, text_file, cache, monkeypatch):
        options = {"level": "word", "max_tokens": 100}
        expected = load_corpus(str(text_file), **options)
        assert list(cache.iterdir()) == []
        monkeypatch.setattr(token_files, "IN_MEMORY", 0)
        for _ in range(2):
            corpus = load_corpus(str(text_file), **options)
            assert isinstance(corpus.valid.base, np.memmap)
            assert corpus.fingerprint == expected.fingerprint
            assert corpus.sizes == expected.sizes
        for file in cache.rglob("*.*"):
            file.unlink()
        assert load_corpus(str(text_file), **options, cache=False).fingerprint == (
            expected.fingerprint
        )
        assert not list(cache.rglob("*.*"))

    def test_of_many_spans(self, text_file, monkeypatch):
        expected = load_corpus(str(text_file), level="byte", max_tokens=500)
        monkeypatch.setattr(corpora, "SPAN", 64)
        corpus = load_corpus(str(text_file), level="byte", max_tokens=500)
        assert corpus.fingerprint == expected.fingerprint
        assert corpus.sizes == expected.sizes
        assert corpus.unknown(corpus.train) == 0


class TestFindPart:
    def test_a_file(self, tmp_path):
        (tmp_path / "a.txt").write_text("한 Wind", encoding="utf-8")
        tokens = tokenized(ByteVocabulary(), find_part(str(tmp_path / "a.txt")))
        assert bytes(tokens.ids) == "한 Wind".encode()
        assert (tokens.characters, tokens.bytes) == (6, 8)
        found = find_part(str(tmp_path / "a.txt"), keep_case=False, normalize="nfd")
        assert "".join(found.pieces()) == "\u1112\u1161\u11ab wind"

    def test_a_part(self, parts):
        found = {p: "".join(find_part(parts, part=p).pieces()) for p in ("test", "valid", "train")}
        assert found == {"test": "a d\n" * 4, "valid": "a c\n" * 5, "train": "b a b\n" * 20}
        assert "".join(find_part(parts).pieces()) == found["test"]

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file"):
            find_part(str(tmp_path / "none.txt"))
