import os
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import Vocabulary, find_text, load_text, python_docs, read_text
from minigrad.data.texts import corpora


class TestPythonDocs:
    def test_is_half_a_million_characters_of_text(self):
        text = python_docs()
        assert 300_000 < len(text) < 1_500_000
        assert text.startswith('The "assert" statement\n')
        assert "\r" not in text
        assert "\0" not in text

    def test_holds_each_topic_once_in_the_order_of_names(self):
        from pydoc_data.topics import topics

        text = python_docs()
        position = 0
        for name in sorted(topics):
            assert text.startswith(topics[name], position)
            position += len(topics[name]) + 1
        assert position == len(text) + 1

    def test_makes_a_vocabulary_and_comes_back(self):
        text = python_docs()
        vocabulary = Vocabulary.from_text(text, unk=None)
        assert len(vocabulary) < 200
        assert vocabulary.decode(vocabulary.encode(text)) == text

    def test_stripped_python(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
        with pytest.raises(ModuleNotFoundError, match=r"no module pydoc_data\.topics.*load_text"):
            python_docs()


@pytest.mark.parametrize("source", ["", " ", ["a.txt", ""]])
def test_no_source_is_empty(source, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    sources = source if isinstance(source, str) else [str(tmp_path / "a.txt"), ""]
    with pytest.raises(ValueError, match="must not be empty"):
        find_text(sources)


class TestReadText:
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")))
    def test_utf_8_comes_back_exactly(self, tmp_path_factory, text):
        path = tmp_path_factory.mktemp("read") / "a.txt"
        path.write_bytes(f"{text}한".encode())
        assert read_text(path) == f"{text}한"

    def test_byte_order_mark_is_dropped_but_only_at_the_start(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes("\ufeffa\ufeffb".encode())
        assert read_text(path) == "a\ufeffb"

    def test_line_ends_become_newlines_as_in_open(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(b"a\r\nb\rc\nd\r\r\n\n")
        assert read_text(path) == "a\nb\nc\nd\n\n\n" == path.read_text(encoding="utf-8")

    def test_path_may_be_a_str(self, tmp_path):
        (tmp_path / "글.txt").write_text("글", encoding="utf-8")
        assert read_text(str(tmp_path / "글.txt")) == "글"

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no file .*none\.txt"):
            read_text(tmp_path / "none.txt")

    def test_directory(self, tmp_path):
        with pytest.raises(IsADirectoryError, match="path must be a file, got the directory"):
            read_text(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"a\.txt' is empty"),
            (b"\xef\xbb\xbf", r"a\.txt' is empty"),
            (b" \r\n\t", r"a\.txt' is only whitespace"),
            (
                "café".encode("latin-1") + b"!",
                r"a\.txt' is not UTF-8: byte 0xe9 at offset 3 .*iconv -f ENCODING -t UTF-8 ",
            ),
            (b"ab\xff", "byte 0xff at offset 2"),
            (b"\xef\xbb\xbfab\xff", "byte 0xff at offset 5"),
            ("한".encode()[:2], "byte 0xed at offset 0 .unexpected end of data"),
            (b"ab\xed\xa0\x80", "byte 0xed at offset 2"),
            ("한글".encode("cp949"), "byte 0xc7 at offset 0 .*CP949"),
            ("text".encode("utf-16"), "offset 0 begins a byte order mark of UTF-16.*iconv"),
            ("text".encode("utf-16-le"), "byte 0x00 at offset 1; it is a binary file, or UTF-16"),
            (b"\x89PNG\r\n\x1a\n\0\0", "byte 0x00 at offset 8; it is a binary file"),
        ],
    )
    def test_no_text_in_it(self, tmp_path, content, message):
        path = tmp_path / "a.txt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"read_text: .*{message}"):
            read_text(path)

    def test_advice_can_be_pasted_into_a_shell(self, tmp_path):
        path = tmp_path / "my notes.txt"
        path.write_bytes(b"\xe9")
        with pytest.raises(ValueError, match="iconv") as caught:
            read_text(path)
        assert f"-t UTF-8 '{path}' > utf8.txt" in str(caught.value)


class TestLoadText:
    def test_by_name(self):
        assert load_text("python-docs") == load_text() == python_docs()

    def test_by_path(self, tmp_path, monkeypatch):
        (tmp_path / "python-docs").write_text("mine")
        monkeypatch.chdir(tmp_path)
        assert load_text(tmp_path / "python-docs") == "mine"
        assert load_text("./python-docs") == "mine"
        assert load_text("python-docs") == python_docs()

    def test_missing_file_names_what_there_is(self):
        with pytest.raises(FileNotFoundError, match=f"'pythondocs' .*'{corpora.PYTHON_DOCS}'"):
            load_text("pythondocs")


def texts(found):
    return tuple(None if part is None else "".join(part.pieces()) for part in found[1:])


def write(directory, *names):
    """Files that hold their own names."""
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return directory


class TestFiles:
    def test_one(self, tmp_path):
        write(tmp_path, "a.txt")
        assert texts(find_text(tmp_path / "a.txt")) == ("a.txt", None, None)
        assert find_text(str(tmp_path / "a.txt")).name == "a.txt"
        assert texts(find_text([tmp_path / "a.txt"])) == ("a.txt", None, None)

    def test_a_part_alone_is_a_text_like_any_other(self, tmp_path):
        write(tmp_path, "train.txt", "valid.txt")
        assert texts(find_text(tmp_path / "train.txt")) == ("train.txt", None, None)

    def test_several_in_the_order_given(self, tmp_path):
        write(tmp_path, "b", "a", "c")
        found = find_text([tmp_path / name for name in "bac"])
        assert texts(found) == ("b\na\nc", None, None)
        assert found.name == "b and 2 more"

    def test_several_that_are_parts(self, tmp_path):
        write(tmp_path, "x.test.txt", "x.train.txt", "x.valid.txt", "y")
        paths = sorted(tmp_path.iterdir())
        assert texts(find_text(paths[:3])) == ("x.train.txt", "x.valid.txt", "x.test.txt")
        assert texts(find_text(paths))[1] is None

    def test_with_others(self, tmp_path):
        write(tmp_path, "d/b.txt", "d/a.txt", "c.txt")
        found = find_text([tmp_path / "c.txt", tmp_path / "d", "python-docs"])
        assert (
            texts(found)[0]
            == "c.txt\na.txt\nb.txt\n".replace("a.", "d/a.").replace("b.", "d/b.") + python_docs()
        )
        write(tmp_path, "e/train", "e/test")
        with pytest.raises(ValueError, match=r"'e' has parts .* can't be joined with others"):
            find_text([tmp_path / "c.txt", tmp_path / "e"])

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
    def test_a_pipe_which_can_be_read_once(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        thread = threading.Thread(target=(tmp_path / "pipe").write_text, args=("through",))
        thread.start()
        found = find_text(tmp_path / "pipe")
        thread.join()
        assert texts(found) == texts(found) == ("through", None, None)

    def test_none(self, tmp_path):
        with pytest.raises(ValueError, match="one source at least"):
            find_text([])
        with pytest.raises(FileNotFoundError, match=r"no file .*x' .*'python-docs', 'tiny"):
            find_text(tmp_path / "x")


class TestDirectories:
    def test_all_that_is_txt_in_order(self, tmp_path):
        write(tmp_path, "b.txt", "a.txt", "10.TXT", "c.md", "d/e.txt", ".hidden.txt")
        assert texts(find_text(tmp_path)) == ("10.TXT\na.txt\nb.txt", None, None)
        assert find_text(f"{tmp_path}/").name == tmp_path.name

    def test_glob(self, tmp_path):
        write(tmp_path, "b.md", "a.md", "c/d.md", "c/b.txt", "c/e/f.md")
        assert texts(find_text(tmp_path, glob="*.md"))[0] == "a.md\nb.md"
        assert texts(find_text(tmp_path, glob="**/*.md"))[0] == "a.md\nb.md\nc/d.md\nc/e/f.md"
        with pytest.raises(FileNotFoundError, match=r"matches '\*.x'; it holds a.md, b.md, c$"):
            find_text(tmp_path, glob="*.x")

    @pytest.mark.parametrize("glob", ["", "/etc/*"])
    def test_glob_that_is_none(self, tmp_path, glob):
        with pytest.raises(ValueError, match="is no pattern"):
            find_text(tmp_path, glob=glob)

    def test_glob_without_a_directory(self, tmp_path):
        write(tmp_path, "a.txt")
        with pytest.raises(
            ValueError, match=r"chooses files of a directory .* got '\*' for .*a\.t"
        ):
            find_text(tmp_path / "a.txt", glob="*")

    def test_nothing_in_it(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"ends in \.txt; it holds nothing\. .*--glob"):
            find_text(tmp_path)
        write(tmp_path, *(f"{n}.md" for n in range(9)))
        with pytest.raises(FileNotFoundError, match=r"it holds 0\.md, .*, 4\.md, \.\.\.\."):
            find_text(tmp_path)

    def test_blank_files_are_no_error_unless_all_are(self, tmp_path):
        write(tmp_path, "b.txt")
        (tmp_path / "a.txt").write_text("")
        (tmp_path / "c.txt").write_text("\n")
        assert texts(find_text(tmp_path))[0] == "b.txt\n\n"
        (tmp_path / "b.txt").write_text(" ")
        with pytest.raises(ValueError, match="none of the files has anything but whitespace"):
            texts(find_text(tmp_path))


class TestParts:
    @pytest.mark.parametrize(
        "names",
        [
            ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
            ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
            ("train.txt", "val.txt", "test.txt"),
            ("Training.txt", "Validation.txt", "Test.txt"),
            ("train_30k.txt", "dev_5k.txt", "test_5k.txt"),
            ("train", "dev", "test"),
        ],
    )
    def test_are_told_by_names(self, tmp_path, names):
        write(tmp_path, *names, "ORIGIN.txt", "latest.txt", "trainer.txt", "LICENSE")
        assert texts(find_text(tmp_path)) == names

    def test_may_be_two(self, tmp_path):
        write(tmp_path, "train.txt", "valid.txt")
        assert texts(find_text(tmp_path)) == ("train.txt", "valid.txt", None)
        (tmp_path / "valid.txt").rename(tmp_path / "test.txt")
        assert texts(find_text(tmp_path))[1] is None
        assert texts(find_text(tmp_path))[2] is not None

    def test_a_part_may_be_several_files(self, tmp_path):
        write(tmp_path, "train-00.txt", "train-01.txt", "valid-00.txt")
        assert texts(find_text(tmp_path)) == ("train-00.txt\ntrain-01.txt", "valid-00.txt", None)

    def test_training_alone_is_no_part(self, tmp_path):
        write(tmp_path, "train.txt", "other.txt")
        assert texts(find_text(tmp_path)) == ("other.txt\ntrain.txt", None, None)

    def test_several_corpora_are_not_mixed(self, tmp_path):
        kinds = ("ptb.char.", "ptb.")
        write(tmp_path, *(f"{k}{part}.txt" for k in kinds for part in ("train", "valid", "test")))
        with pytest.raises(
            ValueError, match=r"choose ptb\.char\.train\.txt or ptb\.train\.txt with glob"
        ):
            find_text(tmp_path)
        assert texts(find_text(tmp_path, glob="ptb.[tv]*"))[0] == "ptb.train.txt"
        assert load_text(tmp_path / "ptb.train.txt") == "ptb.train.txt"

    def test_load_text_joins_them(self, tmp_path):
        write(tmp_path, "test.txt", "train.txt", "valid.txt")
        assert load_text(tmp_path) == "train.txt\nvalid.txt\ntest.txt"
