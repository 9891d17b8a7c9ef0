import numpy as np
import pytest

from models.corpus import evaluation_streams, load_corpus


def test_characters(text_file, rhyme):
    corpus = load_corpus(str(text_file), "char")
    parts = (corpus.train, corpus.valid, corpus.test)
    assert "".join(map(corpus.vocabulary.decode, parts)) == rhyme * 10
    assert [len(part) for part in parts] == pytest.approx([2007, 112, 112], abs=100)
    assert set(corpus.vocabulary) == {"<unk>", *rhyme}


def test_words_are_not_cut_and_lines_stay(text_file, rhyme):
    corpus = load_corpus(str(text_file), "word", min_count=1)
    parts = (corpus.train, corpus.valid, corpus.test)
    words = [word for part in parts for word in corpus.vocabulary.decode(part).split()]
    assert words == (rhyme * 10).split()
    assert sum(int((part == corpus.vocabulary.eos_id).sum()) for part in parts) == 30


def test_the_vocabulary_is_that_of_the_training_part(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ab" * 450 + "xy" * 50, encoding="utf-8")
    corpus = load_corpus(str(path), "char")
    assert set(corpus.vocabulary) == {"<unk>", "a", "b"}
    assert corpus.unknown(corpus.valid) == 1
    assert corpus.unknown(corpus.train) == 0


def test_rare_words_are_unknown_unless_told_otherwise(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("rare " + "often very " * 200, encoding="utf-8")
    assert "rare" not in load_corpus(str(path), "word").vocabulary
    assert "rare" in load_corpus(str(path), "word", min_count=1).vocabulary
    assert set(load_corpus(str(path), "word", max_vocab=3).vocabulary) == {
        "<unk>",
        "<eos>",
        "often",
    }


def test_too_short(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a", encoding="utf-8")
    with pytest.raises(ValueError, match="too short"):
        load_corpus(str(path), "char")
    path.write_text("ab" * 50, encoding="utf-8")
    corpus = load_corpus(str(path), "char")
    corpus.check_length(45)
    with pytest.raises(ValueError, match=r"90 to train on, and at least 92 .* batch size of 46"):
        corpus.check_length(46)
    path.write_text("ab" * 10, encoding="utf-8")
    with pytest.raises(ValueError, match="1 to validate on, and at least 2"):
        load_corpus(str(path), "char").check_length(2)


def test_evaluation_streams_are_not_short():
    ids = np.arange(1000)
    assert evaluation_streams(ids, 8, 20).shape == (125, 8)
    assert evaluation_streams(ids, 32, 100).shape == (100, 10)
    assert evaluation_streams(ids, 32, 2000).shape == (1000, 1)
