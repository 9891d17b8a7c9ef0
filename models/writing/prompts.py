"""Where a model begins to write, and where it stops: prompts and stop texts."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

from minigrad.data import Tokenizer, Vocabulary
from models.corpus import FORMS, Form

EOS = "<eos>"
"""The stop text that means the token for line ends."""


def unknown_symbols(tokenizer: Tokenizer, prompt: str) -> list[str]:
    """The characters, or words, of `prompt` that `tokenizer` has no token for; each once."""
    if not isinstance(tokenizer, Vocabulary):
        return []  # any text can be made of bytes
    symbols = prompt if tokenizer.level == "char" else prompt.split()
    ends = {"\n"} if tokenizer.eos is not None else set()
    return [s for s in dict.fromkeys(symbols) if s not in tokenizer and s not in ends]


def as_trained(prompt: str, tokenizer: Tokenizer, keep_case: bool, form: Form | None) -> str:
    """`prompt` with its letters as in the text that the model was trained on.

    Parameters
    ----------
    prompt
        the text to go on from.
    tokenizer
        the tokens of the model.
    keep_case
        False: that text was made lower case.
    form
        the normal form of Unicode of that text. None: it was left as it was; then the prompt is
        brought into the form in which `tokenizer` knows most of it.
    """
    prompt = prompt if keep_case else prompt.lower()
    if form is not None:
        return normalize(FORMS[form], prompt)
    forms = [prompt, normalize("NFC", prompt), normalize("NFD", prompt)]
    return min(forms, key=lambda form: len(unknown_symbols(tokenizer, form)))


def named(symbols: Sequence[str]) -> str:
    """The first few of `symbols`, for a message."""
    return ", ".join(map(repr, symbols[:5])) + (", ..." if len(symbols) > 5 else "")


def read_prompt(tokenizer: Tokenizer, prompt: str, knows_unknown: bool = False) -> list[int]:
    """The ids of `prompt`.

    Parameters
    ----------
    tokenizer
        the tokens of the model.
    prompt
        the text to go on from.
    knows_unknown
        whether symbols that `tokenizer` lacks become its token for unknown symbols, if it has one.

    Raises
    ------
    ValueError
        if `tokenizer` lacks symbols; the message names them.
    """
    unknown = unknown_symbols(tokenizer, prompt)
    if unknown and (tokenizer.unk_id is None or not knows_unknown):
        kind = "characters" if tokenizer.level == "char" else "words"
        raise ValueError(
            f"the prompt has {kind} that the model's vocabulary of {len(tokenizer):,} lacks: "
            f"{named(unknown)}; write it with {kind} of the text that the model was trained on "
            "(a model of --level byte or bpe can read anything)"
        )
    ids: list[int] = tokenizer.encode(prompt).tolist()
    return ids


def first_id(tokenizer: Tokenizer) -> int:
    """The id that a text without a prompt comes after: a line end, or the most frequent token."""
    try:
        line_end = tokenizer.encode("\n").tolist()
    except ValueError:  # a character that is not in the vocabulary
        line_end = []
    if line_end and line_end[-1] != tokenizer.unk_id:
        return int(line_end[-1])
    return next((i for i in range(len(tokenizer)) if i != tokenizer.unk_id), 0)


class StopTexts:
    """Finds the end of a text that comes piece by piece: it ends before the first stop text.

    The first stop text is the one that is complete first, and of several the longest. So the end
    does not depend on how the text is cut into pieces. What may begin a stop text is held back.

    Parameters
    ----------
    tokenizer
        the tokens of the text.
    texts
        the stop texts. ``"<eos>"`` is `tokenizer`'s token for line ends, if it has one.

    Attributes
    ----------
    reached : bool
        whether there was a stop text.

    Raises
    ------
    ValueError
        for an empty stop text.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        if "" in texts:
            raise ValueError("a stop text must not be empty")
        self._id = tokenizer.eos_id if EOS in texts else None
        self._texts = [text for text in texts if text != EOS or self._id is None]
        self._held = ""
        self.reached = False

    def is_end(self, id: int) -> bool:
        """Whether the token `id` ends the text, as ``"<eos>"`` asks."""
        return id == self._id

    def push(self, piece: str) -> str:
        """What can be shown after the next `piece`."""
        text = self._held + piece
        found = [
            (start + len(stop), start) for stop in self._texts if (start := text.find(stop)) >= 0
        ]
        if found:
            self.reached, self._held = True, ""
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, when no more comes."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
