"""Sentences with a label for each token: what is read, what is refused, how they are split."""

import pytest

from models.reading.labelled_texts import told_bad
from models.reading.tagged_texts import (
    JOINED,
    SPACE,
    Tagged,
    characters_of,
    in_pieces,
    load_tagged,
    read_conll,
    read_spaces,
    spaced,
    words_of,
)

CONLL_U = """# text = Don't go.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tthere\tthere\tADV\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_

1\t10 000\t10 000\tNUM\tCD\t_\t0\troot\t_\t_

"""
CHUNKS = "-DOCSTART- -X- O\n\nHe PRP B-NP\nran VBD B-VP\n\n# NN B-NP\n"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class TestSpaces:
    def test_a_line_is_its_characters_and_what_follows_them(self, tmp_path):
        found, bad = read_spaces(write(tmp_path / "a.txt", " 그가 간다\t.\r\n\n \nno\u0308\n"))
        assert found.tokens == [list("그가간다."), ["n", "ö"]]  # one character, not two
        assert found.tags == [[JOINED, SPACE, JOINED, SPACE, JOINED], [JOINED, JOINED]]
        assert bad == []
        assert [spaced(*pair) for pair in zip(*found, strict=True)] == ["그가 간다 .", "nö"]

    def test_spaces_in_an_input_are_taken_out_first(self):
        assert characters_of(" to  get\u3000her ") == list("together")


class TestConll:
    def test_words_of_conll_u(self, tmp_path):
        found, bad = read_conll(write(tmp_path / "a.conllu", CONLL_U))
        assert found.tokens == [["Do", "n't", "go", "."], ["10 000"]]
        assert found.tags == [["AUX", "PART", "VERB", "PUNCT"], ["NUM"]]
        assert bad == []
        assert read_conll(tmp_path / "a.conllu", 5)[0].tags[1] == ["CD"]

    @pytest.mark.parametrize("text", [CHUNKS, CHUNKS.replace(" ", "\t").replace("\n", "\r\n")])
    def test_other_columns(self, tmp_path, text):
        found, _ = read_conll(write(tmp_path / "a.txt", text))
        assert found == ([["He", "ran"], ["#"]], [["B-NP", "B-VP"], ["B-NP"]])
        assert read_conll(tmp_path / "a.txt", 2)[0].tags == [["PRP", "VBD"], ["NN"]]

    def test_a_sentence_with_a_bad_line_is_left_out(self, tmp_path):
        path = write(tmp_path / "a.txt", "a X\nb\n\nc X\n\nd _\ne X\n\nf X")
        found, bad = read_conll(path)
        assert found.tokens == [["c"], ["f"]]
        told = "line 2 of a.txt: 1 columns instead of 2; line 6 of a.txt: no label"
        assert told_bad(bad) == told

    @pytest.mark.parametrize(
        ("text", "column", "message"),
        [
            ("", None, "no sentence of words with labels: it is empty"),
            ("a _\n", None, "with labels: line 1 of a.txt: no label"),
            (b"a X\n\xff X\n", None, "is not UTF-8, in line 2"),
            ("a X\n", 3, "has 2 columns in its first line, not a word and a label in columns 1"),
            ("a X\n", 1, "has 2 columns"),
            ("a\nb\n", None, "has 1 columns"),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, column, message):
        with pytest.raises(ValueError, match=r"a\.txt.*" + message):
            read_conll(write(tmp_path / "a.txt", text), column)

    def test_words_of_a_line(self):
        assert words_of('He said: "It\'s $5.50..."') == [
            *("He", "said", ":", '"', "It's", "$", "5.50", "...", '"')
        ]
        assert words_of(" -- ") == ["--"]
        assert words_of("हिन्दी में।") == ["हिन्दी", "में", "।"]  # marks on letters stay on them


class TestParts:
    def test_repeated_sentences_are_left_out_before_the_split(self, tmp_path):
        lines = [f"line {'x' * i}" for i in range(40)]
        path = write(tmp_path / "a.txt", "\n".join(lines * 3))
        parts = load_tagged([str(path)], spaces=True)
        texts = ["".join(tokens) for part in parts[:3] for tokens in part.tokens]
        assert sorted(texts) == sorted(line.replace(" ", "") for line in lines)
        assert [len(part.tokens) for part in parts[:3]] == [32, 4, 4]
        assert load_tagged([str(path)], spaces=True) == parts
        other = load_tagged([str(path)], spaces=True, seed=1)
        assert other.fingerprint != parts.fingerprint
        assert other.train.tokens != parts.train.tokens

    def test_files_of_their_own(self, tmp_path):
        path = str(write(tmp_path / "a.txt", "a X\nb Y\n\nc X\n\nd Y\n"))
        test = str(write(tmp_path / "b.txt", "a Z\n"))
        parts = load_tagged([path], test=test, split=(0.5, 0.5))
        assert parts.test == ([["a"]], [["Z"]])
        assert len(parts.train.tokens) + len(parts.valid.tokens) == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [("a X\n\nb X\n\nc X\n", "one label only"), ("a X\nb Y\n", "left for the part")],
    )
    def test_too_little(self, tmp_path, text, message):
        path = str(write(tmp_path / "a.txt", text))
        with pytest.raises(ValueError, match=message):
            load_tagged([path], split=(0.5, 0.5))

    def test_pieces(self):
        sentences = Tagged([list("abcde"), ["f"]], [list("12345"), ["6"]])
        assert in_pieces(sentences, 2) == (
            [["a", "b"], ["c", "d"], ["e"], ["f"]],
            [["1", "2"], ["3", "4"], ["5"], ["6"]],
        )
