"""Texts with labels: what is read, what is refused, how they are split."""

from collections import Counter

import pytest

from models.reading.labelled_texts import (
    Labelled,
    known_before,
    load_parts,
    read_labelled,
    split_by_seed,
    told_bad,
)


def write(path, *lines):
    path.write_bytes(b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines))
    return path


class TestReading:
    @pytest.mark.parametrize(
        "lines",
        [
            ["good film\t1", "bad film\t0", "poor\t0"],
            ["1\tgood film", "0\tbad film", "0\tpoor"],
            ["\ufeff1\tgood film\r", "", "0\tbad film\r", "0\tpoor\r"],
        ],
    )
    def test_two_columns_in_any_order(self, tmp_path, lines):
        examples, bad = read_labelled(write(tmp_path / "a.tsv", *lines))
        assert examples == (["good film", "bad film", "poor"], ["1", "0", "0"])
        assert bad == []

    @pytest.mark.parametrize("columns", [("document", "label"), ("2", "3")])
    def test_columns_by_name_or_number(self, tmp_path, columns):
        path = write(tmp_path / "a.tsv", "id\tdocument\tlabel", "7\t좋다\t1", "8\t\t0", "9\tx")
        examples, bad = read_labelled(path, *columns)
        assert examples.texts[-1] == "좋다"
        assert ("document" in examples.texts) == (columns[0] == "2")
        assert [(line.number, line.reason) for line in bad] == [
            (3, "no text"),
            (4, "2 columns instead of 3"),
        ]
        assert told_bad(bad) == "line 3 of a.tsv: no text; line 4 of a.tsv: 2 columns instead of 3"

    def test_a_directory_with_a_file_for_each_class(self, tmp_path):
        write(tmp_path / "Greek.txt", "Banos", "Bilias ")
        write(tmp_path / "Irish.txt", "Brady")
        write(tmp_path / "ORIGIN.txt", "not a class")
        examples, _ = read_labelled(tmp_path)
        assert examples == (["Banos", "Bilias", "Brady"], ["Greek", "Greek", "Irish"])

    @pytest.mark.parametrize(
        ("lines", "columns", "message"),
        [
            ([], (None, None), "is empty"),
            (["a\tb", b"c\xff\tb"], (None, None), "is not UTF-8, in line 2"),
            (["no tabs", "at all"], (None, None), "--text-column and --label-column say"),
            (["a\tb\tc", "d\te\tc"], (None, None), "has 3 columns in its first line"),
            (["a\tb"], ("text", "label"), "has no column 'text'"),
            (["a\tb"], ("1", "3"), "not a column 1 or 3"),
            (["a\tb"], ("0", "1"), "not a column 0 or 1"),
            (["a\tb"], ("1", None), "go together"),
            (["\tb", "a\t"], ("1", "2"), "no line with a text and a label"),
        ],
    )
    def test_what_cannot_be_used(self, tmp_path, lines, columns, message):
        with pytest.raises(ValueError, match=message):
            read_labelled(write(tmp_path / "a.tsv", *lines), *columns)


class TestSplitting:
    def test_nothing_is_lost_and_each_class_is_shared_out(self):
        labels = ["a"] * 50 + ["b"] * 10 + ["rare"]
        examples = Labelled([str(i) for i in range(61)], labels)
        parts = split_by_seed(examples, (0.8, 0.1, 0.1), 3)
        assert sorted(text for part in parts for text in part.texts) == sorted(examples.texts)
        for part, a, b in zip(parts, (40, 5, 5), (8, 1, 1), strict=True):
            assert Counter(part.labels)["a"] == a
            assert Counter(part.labels)["b"] == b
        assert "rare" in parts[0].labels
        assert parts == split_by_seed(examples, (0.8, 0.1, 0.1), 3)
        assert parts != split_by_seed(examples, (0.8, 0.1, 0.1), 4)

    def test_files_of_their_own_and_what_is_known_before(self, tmp_path):
        train = write(tmp_path / "train", *(f"text {i}\t{i % 2}" for i in range(20)))
        test = write(tmp_path / "test", "text 3\t1", "other\t0")
        parts = load_parts([str(train)], test=str(test))
        assert len(parts.train.texts) + len(parts.valid.texts) == 20
        assert parts.test == (["text 3", "other"], ["1", "0"])
        expected = int("text 3" in parts.train.texts)
        assert known_before(parts.train, parts.test) == expected
        assert known_before(parts.train, parts.valid) == 0
        assert load_parts([str(train)]).fingerprint != parts.fingerprint

    def test_labels_that_can_not_be_learnt(self, tmp_path):
        train = write(tmp_path / "train", *(f"text {i}\t{i % 2}" for i in range(20)))
        test = write(tmp_path / "test", "a\t0", "b\t0", "c\tnew")
        with pytest.raises(ValueError, match="has the label 'new' of the part 'test'"):
            load_parts([str(train)], test=str(test))
        one = write(tmp_path / "one", *(f"text {i}\tx" for i in range(20)))
        with pytest.raises(ValueError, match="one class only"):
            load_parts([str(one)])
