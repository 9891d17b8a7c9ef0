import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import Vocabulary, corpora, load_text, python_docs, read_text


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
