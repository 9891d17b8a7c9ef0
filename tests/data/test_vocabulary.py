import json
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import Vocabulary

# Any Unicode text: hypothesis leaves out lone surrogates only.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=8)
WORDS = WORDS.filter(lambda word: word not in ("<unk>", "<eos>"))
LINES = st.lists(st.lists(WORDS, min_size=1), min_size=1).map(
    lambda lines: "".join(" ".join(line) + "\n" for line in lines)
)

EXOTIC = [
    "나랏말싸미 듕귁에 달아",
    "\uac01 \u1100\u1161\u11a8",  # one Korean syllable, and the same from its parts
    "\xe9 e\u0301 \u0229\u0301",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇰🇷 \U0010ffff",
    "שלום \u202emirror\u202c \ufeff\u200b",
    '"quotes" \\backslash\\ \x00\x07\x1b\x7f\x85\u2028\u2029\r\n\t',
]


class TestCharacters:
    @given(TEXTS)
    def test_text_comes_back_exactly(self, text):
        vocabulary = Vocabulary.from_text(text)
        ids = vocabulary.encode(text)
        assert ids.dtype == np.int64
        assert ids.shape == (len(text),)
        assert vocabulary.decode(ids) == text

    @pytest.mark.parametrize("text", EXOTIC)
    def test_exotic_text_comes_back_exactly(self, text):
        vocabulary = Vocabulary.from_text(text, unk=None)
        assert vocabulary.decode(vocabulary.encode(text)) == text
        assert set(vocabulary) == set(text)

    @given(TEXTS, TEXTS)
    def test_encode_is_a_look_up_of_each_character(self, known, text):
        vocabulary = Vocabulary.from_text(known)
        expected = [vocabulary.tokens.index(c) if c in known else vocabulary.unk_id for c in text]
        assert vocabulary.encode(text).tolist() == expected

    def test_korean_is_read_by_syllables(self):
        vocabulary = Vocabulary.from_text("한국 한글")
        assert vocabulary.tokens == ("<unk>", "한", " ", "국", "글")
        assert vocabulary.encode("한글").tolist() == [1, 4]

    def test_line_end_is_a_character_unless_it_has_a_token(self):
        assert Vocabulary.from_text("a\nb").tokens == ("<unk>", "\n", "a", "b")
        assert Vocabulary.from_text("a\nb").eos_id is None
        vocabulary = Vocabulary.from_text("a\nb", eos="<eos>")
        assert vocabulary.tokens == ("<unk>", "<eos>", "a", "b")
        assert vocabulary.encode("b\na\n").tolist() == [3, 1, 2, 1]
        assert vocabulary.decode([3, 1, 2, 1]) == "b\na\n"
        vocabulary = Vocabulary.from_text("a\nb", eos="\n")
        assert vocabulary.tokens == ("<unk>", "\n", "a", "b")
        assert vocabulary.decode(vocabulary.encode("\na")) == "\na"

    def test_special_token_may_be_a_character(self):
        vocabulary = Vocabulary.from_text("ab\ufffd", unk="\ufffd")
        assert vocabulary.encode("azb").tolist() == [1, 0, 2]
        assert vocabulary.decode([1, 0, 2]) == "a\ufffdb"

    def test_special_token_spelled_out_is_read_as_characters(self):
        vocabulary = Vocabulary.from_text("<unk>")
        assert vocabulary.decode(vocabulary.encode("<unk>")) == "<unk>"
        assert len(vocabulary.encode("<unk>")) == 5

    def test_lone_surrogate_is_unknown(self):
        assert Vocabulary.from_text("ab").encode("a\ud800").tolist() == [1, 0]
        with pytest.raises(ValueError, match=r"valid Unicode.*U\+D800.*surrogate"):
            Vocabulary.from_text("a\ud800")


class TestWords:
    @given(LINES)
    def test_evenly_spaced_text_comes_back_exactly(self, text):
        vocabulary = Vocabulary.from_text(text, level="word")
        ids = vocabulary.encode(text)
        assert ids.dtype == np.int64
        assert vocabulary.decode(ids) == text

    @given(st.data(), LINES, st.sampled_from(["<eos>", None]))
    def test_ids_come_back_exactly(self, data, text, eos):
        vocabulary = Vocabulary.from_text(text, level="word", eos=eos)
        ids = data.draw(st.lists(st.integers(0, len(vocabulary) - 1)))
        assert vocabulary.encode(vocabulary.decode(ids)).tolist() == ids

    def test_each_line_end_is_one_eos(self):
        vocabulary = Vocabulary.from_text(" the cat \n\n sat\t on\u3000the mat\r\n", level="word")
        assert vocabulary.tokens == ("<unk>", "<eos>", "the", "cat", "mat", "on", "sat")
        assert vocabulary.encode("the cat\n\nsat\n").tolist() == [2, 3, 1, 1, 6, 1]
        assert vocabulary.encode("the cat").tolist() == [2, 3]
        assert vocabulary.decode([2, 3, 1, 1, 6, 1]) == "the cat\n\nsat\n"

    def test_without_eos_a_line_end_is_whitespace(self):
        vocabulary = Vocabulary.from_text("a b\nc", level="word", eos=None)
        assert vocabulary.tokens == ("<unk>", "a", "b", "c")
        assert vocabulary.encode("a\nc").tolist() == [1, 3]

    def test_special_tokens_in_the_text_are_read_as_such(self):
        vocabulary = Vocabulary.from_text("the <unk> sat <eos>", level="word")
        assert vocabulary.tokens == ("<unk>", "<eos>", "sat", "the")
        assert vocabulary.encode("the <unk> <eos> dog").tolist() == [3, 0, 1, 0]

    def test_korean(self):
        vocabulary = Vocabulary.from_text("나는 학교에 간다\n나는 논다\n", level="word")
        assert vocabulary.tokens[:3] == ("<unk>", "<eos>", "나는")
        assert vocabulary.decode(vocabulary.encode("나는 학교에")) == "나는 학교에"


class TestOrderAndSize:
    @given(TEXTS)
    def test_special_then_frequent_then_by_code_point(self, text):
        vocabulary = Vocabulary.from_text(text)
        counts = Counter(text)
        rank = [(-counts[token], token) for token in vocabulary.tokens[1:]]
        assert vocabulary.tokens[0] == "<unk>"
        assert rank == sorted(rank)
        assert set(vocabulary.tokens[1:]) == set(text)

    @given(TEXTS, st.integers(1, 5))
    def test_min_count(self, text, min_count):
        frequent = {c for c, count in Counter(text).items() if count >= min_count}
        if not frequent:
            with pytest.raises(ValueError, match=f"min_count={min_count}"):
                Vocabulary.from_text(text, min_count=min_count)
            return
        vocabulary = Vocabulary.from_text(text, min_count=min_count)
        assert set(vocabulary.tokens[1:]) == frequent
        decoded = vocabulary.decode(vocabulary.encode(text))
        assert decoded == "".join(c if c in frequent else "<unk>" for c in text)

    @given(TEXTS, st.integers(2, 10))
    def test_max_size_counts_special_tokens_and_keeps_the_most_frequent(self, text, max_size):
        whole = Vocabulary.from_text(text)
        cut = Vocabulary.from_text(text, max_size=max_size)
        assert cut.tokens == whole.tokens[:max_size]

    def test_ids_count_up_in_the_order_of_tokens(self):
        vocabulary = Vocabulary.from_text("abracadabra")
        assert list(vocabulary) == list(vocabulary.tokens) == ["<unk>", "a", "b", "r", "c", "d"]
        assert [vocabulary.id_of(token) for token in vocabulary] == list(range(len(vocabulary)))
        assert vocabulary.unk_id == vocabulary.id_of("<unk>") == vocabulary.id_of("z") == 0
        assert "a" in vocabulary
        assert "z" not in vocabulary
        assert 1 not in vocabulary

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"level": "byte"}, r'from_text: level must be "char" or "word", got \'byte\''),
            ({"min_count": 0}, "min_count must be at least 1, got 0"),
            ({"max_size": 0}, "max_size must be at least 1, got 0"),
            ({"max_size": 1}, "no symbol is left with min_count=1 and max_size=1, 1 of it for"),
            ({"min_count": 9}, "min_count=9 .* the most frequent symbol occurs 2 times"),
            ({"unk": "<s>", "eos": "<s>"}, "unk and eos must differ, got '<s>'"),
            ({"unk": "a b", "level": "word"}, "words must not hold whitespace, got 'a b'"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            Vocabulary.from_text("aab\n", **options)

    @pytest.mark.parametrize(("level", "text"), [("char", ""), ("word", ""), ("word", " \n\t")])
    def test_nothing_to_learn_from(self, level, text):
        with pytest.raises(ValueError, match=f"from_text: the text has no {level}s"):
            Vocabulary.from_text(text, level=level)

    def test_option_of_another_type(self):
        with pytest.raises(TypeError, match=r"min_count must be an int, got 1\.5"):
            Vocabulary.from_text("a", min_count=1.5)
        with pytest.raises(TypeError, match="max_size must be an int, got True"):
            Vocabulary.from_text("a", max_size=True)


class TestConstructor:
    @pytest.mark.parametrize(
        ("tokens", "options", "message"),
        [
            ([], {}, "tokens must not be empty"),
            (["a", "b", "a"], {}, r"must differ, got 'a' \(U\+0061\) for ids 0 and 2"),
            (["a", ""], {}, "must not be empty, got '' for id 1"),
            (["a", "bc"], {}, "must be single characters .* got 'bc' for id 1"),
            (["a"], {"unk": "<unk>"}, "unk must be one of the tokens, got '<unk>'"),
            (["a"], {"eos": "<eos>"}, "eos must be one of the tokens, got '<eos>'"),
            (["a b"], {"level": "word"}, "must not hold whitespace, got 'a b' for id 0"),
            (["a", "\n", "<eos>"], {"eos": "<eos>"}, r"a line end must have one token"),
            (["\udc00"], {"level": "word"}, "valid Unicode"),
            (["a"], {"level": "byte"}, 'level must be "char" or "word"'),
        ],
    )
    def test_bad_tokens(self, tokens, options, message):
        with pytest.raises(ValueError, match=message):
            Vocabulary(tokens, **options)

    def test_token_of_another_type(self):
        with pytest.raises(TypeError, match="tokens must be str, got 3 for id 1"):
            Vocabulary(["a", 3])

    def test_equality_is_of_all_that_decides_the_ids(self):
        vocabulary = Vocabulary(["a", "b"], unk="a")
        same = Vocabulary(iter(["a", "b"]), unk="a")
        assert vocabulary == same
        assert hash(vocabulary) == hash(same)
        others = [
            Vocabulary(["a", "c"], unk="a"),
            Vocabulary(["b", "a"], unk="a"),
            Vocabulary(["a", "b"], unk="b"),
            Vocabulary(["a", "b"]),
            Vocabulary(["a", "b"], unk="a", eos="b"),
            Vocabulary(["a", "b"], unk="a", level="word"),
            ("a", "b"),
        ]
        assert all(vocabulary != other for other in others)

    def test_repr_is_short(self):
        vocabulary = Vocabulary.from_text("abc")
        assert repr(vocabulary) == "Vocabulary(level='char', size=4, unk='<unk>', eos=None)"


class TestUnknown:
    def test_character(self):
        vocabulary = Vocabulary.from_text("ab\n", unk=None)
        message = r"encode: '한' \(U\+D55C\) at position 3 \(line 2\) is not in .* 3 chars"
        with pytest.raises(ValueError, match=message):
            vocabulary.encode("ab\n한z")

    def test_characters_that_cannot_be_seen(self):
        vocabulary = Vocabulary.from_text("e", unk=None)
        with pytest.raises(ValueError, match=r"\(U\+0301\) at position 1"):
            vocabulary.encode("e\u0301")
        with pytest.raises(ValueError, match=r"'\\u200b' \(U\+200B\) at position 1"):
            vocabulary.encode("e\u200b")
        with pytest.raises(ValueError, match=r"'\\n' \(U\+000A\) at position 2 \(line 1\)"):
            vocabulary.encode("ee\n")

    def test_line_end_with_a_token_is_known(self):
        vocabulary = Vocabulary.from_text("a\n", unk=None, eos="<eos>")
        with pytest.raises(ValueError, match=r"'z' .* at position 2 \(line 2\)"):
            vocabulary.encode("a\nz")

    def test_word(self):
        vocabulary = Vocabulary.from_text("the cat\n", level="word", unk=None)
        message = r"encode: 'dog' at position 13 \(line 2\) is not in .* 3 words"
        with pytest.raises(ValueError, match=message):
            vocabulary.encode("the cat\n the dog\n")
        with pytest.raises(ValueError, match=r"\(U\+1100 U\+1161 U\+11A8\) at position 0"):
            vocabulary.encode("\u1100\u1161\u11a8")
        with pytest.raises(ValueError, match=r"'x{40}'\.\.\. \(1000 characters\)"):
            vocabulary.encode("x" * 1000)

    def test_id_of(self):
        with pytest.raises(ValueError, match=r"id_of: 'z' \(U\+007A\) is not in"):
            Vocabulary.from_text("a", unk=None).id_of("z")

    @pytest.mark.parametrize("text", [b"abc", None, ["a"]])
    def test_text_of_another_type(self, text):
        vocabulary = Vocabulary.from_text("abc")
        with pytest.raises(TypeError, match="encode: text must be a str, got"):
            vocabulary.encode(text)
        with pytest.raises(TypeError, match="from_text: text must be a str, got"):
            Vocabulary.from_text(text)


class TestDecode:
    @pytest.mark.parametrize("level", ["char", "word"])
    @pytest.mark.parametrize("unk", ["<unk>", None])
    def test_nothing(self, level, unk):
        vocabulary = Vocabulary.from_text("a b", level=level, unk=unk)
        assert vocabulary.decode([]) == ""
        assert vocabulary.encode("").shape == (0,)
        assert vocabulary.encode("").dtype == np.int64

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
    def test_any_integers(self, dtype):
        assert Vocabulary.from_text("ab").decode(np.array([2, 1], dtype)) == "ba"

    @pytest.mark.parametrize("id", [3, -1, 2**40])
    def test_id_out_of_range(self, id):
        vocabulary = Vocabulary.from_text("ab")
        message = rf"decode: ids must be in \[0, 3\), got {id} at position 1"
        with pytest.raises(IndexError, match=message):
            vocabulary.decode([0, id, 1])

    def test_huge_unsigned_id(self):
        with pytest.raises(IndexError, match=f"got {2**64 - 1} at position 0"):
            Vocabulary.from_text("ab").decode(np.array([2**64 - 1], np.uint64))

    @pytest.mark.parametrize("ids", [[0.0, 1.0], [True], ["a"]])
    def test_not_integers(self, ids):
        with pytest.raises(TypeError, match="decode: ids must be integers, got dtype"):
            Vocabulary.from_text("ab").decode(ids)

    @pytest.mark.parametrize("ids", [0, [[0, 1]]])
    def test_not_one_axis(self, ids):
        with pytest.raises(ValueError, match=r"decode: ids must have one axis, got shape"):
            Vocabulary.from_text("ab").decode(ids)


class TestFiles:
    @given(TEXTS, st.booleans(), st.booleans())
    def test_json_round_trip_of_characters(self, text, unk, eos):
        vocabulary = Vocabulary.from_text(
            text + "x", unk="<unk>" if unk else None, eos="<eos>" if eos else None
        )
        again = Vocabulary.from_json(vocabulary.to_json())
        assert again == vocabulary
        assert again.encode(text).tolist() == vocabulary.encode(text).tolist()

    @given(LINES)
    def test_json_round_trip_of_words(self, text):
        vocabulary = Vocabulary.from_text(text, level="word")
        assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary

    @pytest.mark.parametrize("text", EXOTIC)
    def test_file_round_trip(self, tmp_path, text):
        vocabulary = Vocabulary.from_text(text)
        vocabulary.save(tmp_path / "어휘.json")
        assert Vocabulary.load(tmp_path / "어휘.json") == vocabulary
        assert [path.name for path in tmp_path.iterdir()] == ["어휘.json"]

    def test_file_is_readable_utf_8(self, tmp_path):
        Vocabulary.from_text("한글").save(str(tmp_path / "v.json"))
        content = (tmp_path / "v.json").read_bytes()
        assert '"글"'.encode() in content
        assert json.loads(content)["tokens"] == ["<unk>", "글", "한"]

    def test_byte_order_mark_is_no_harm(self, tmp_path):
        vocabulary = Vocabulary.from_text("abc")
        (tmp_path / "v.json").write_text(vocabulary.to_json(), encoding="utf-8-sig")
        assert Vocabulary.load(tmp_path / "v.json") == vocabulary

    def test_failed_save_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "v.json"
        old = Vocabulary.from_text("old")
        old.save(path)

        def full_disk(descriptor):
            raise OSError("no space left")

        monkeypatch.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="no space left"):
            Vocabulary.from_text("new").save(path)
        assert Vocabulary.load(path) == old
        assert list(tmp_path.iterdir()) == [path]

    def test_saving_over_a_link_replaces_the_link(self, tmp_path):
        (tmp_path / "v.json").write_text("mine")
        (tmp_path / "link.json").symlink_to(tmp_path / "v.json")
        Vocabulary.from_text("abc").save(tmp_path / "link.json")
        assert Vocabulary.load(tmp_path / "link.json") == Vocabulary.from_text("abc")
        assert (tmp_path / "v.json").read_text() == "mine"

    def test_pickle(self):
        vocabulary = Vocabulary.from_text("abc")
        assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            Vocabulary.load(tmp_path / "none.json")

    def test_each_truncation_is_noticed(self, tmp_path):
        content = Vocabulary.from_text("한a").to_json().rstrip().encode()
        path = tmp_path / "short.json"
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"load: .*short\.json"):
                Vocabulary.load(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": "torchtext"}, 'not a vocabulary: .*"format": "minigrad.Vocabulary"'),
            ({"version": 2}, "version 2 is not known here"),
            ({"extra": 1}, r"missing keys \[\], unexpected keys \['extra'\]"),
            ({"tokens": "abc"}, '"tokens" must be a list'),
            ({"tokens": ["<unk>", 1]}, "tokens must be str, got 1"),
            ({"tokens": ["<unk>", ["a"]]}, "tokens must be str"),
            ({"tokens": ["<unk>", "a", "a"]}, "damaged: .*tokens must differ"),
            ({"tokens": ["a"]}, "damaged: .*unk must be one of the tokens"),
            ({"tokens": ["<unk>", "\ud800"]}, "valid Unicode"),
            ({"unk": ["<unk>"]}, "unk must be one of the tokens"),
            ({"level": None}, "level must be"),
        ],
    )
    def test_damaged_json(self, tmp_path, change, message):
        state = json.loads(Vocabulary.from_text("ab").to_json())
        text = json.dumps({**state, **change})
        with pytest.raises(ValueError, match=message):
            Vocabulary.from_json(text)
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=rf"bad\.json.*{message}"):
            Vocabulary.load(tmp_path / "bad.json")

    @pytest.mark.parametrize("key", ["format", "version", "level", "unk", "eos", "tokens"])
    def test_missing_key(self, key):
        state = json.loads(Vocabulary.from_text("ab").to_json())
        del state[key]
        with pytest.raises(ValueError, match=r"from_json: .*(missing keys|format|version)"):
            Vocabulary.from_json(json.dumps(state))

    @pytest.mark.parametrize("text", ["", "hello", "[1, 2]", "null", "[" * 100_000, '{"a": 1}'])
    def test_foreign_text(self, text):
        with pytest.raises(ValueError, match=r"from_json: .*(is not JSON|is not a vocabulary)"):
            Vocabulary.from_json(text)

    def test_foreign_bytes(self, tmp_path):
        (tmp_path / "weights.json").write_bytes(b"\x80\x04\x95")
        with pytest.raises(ValueError, match=r"weights\.json.*can't decode"):
            Vocabulary.load(tmp_path / "weights.json")
