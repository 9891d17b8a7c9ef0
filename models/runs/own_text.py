"""The text that the settings of a run name.

A stranger may have made a run directory, and chosen the names in its settings. So when a run goes
on, or is measured again, nothing is fetched because of them: the text has to be where they say, and
to be the very text that the run began with. Otherwise whoever calls the command has to name it.
"""

from __future__ import annotations

from collections.abc import Collection

from minigrad.data import CORPORA, Tokenizer, at_hand
from models.corpus import Corpus, load_corpus
from models.runs.options import flag
from models.runs.settings import Settings


def corpus_of(s: Settings, tokenizer: Tokenizer | None = None) -> Corpus:
    """The text that the settings name, with the tokens of `tokenizer`, or its own."""
    return load_corpus(
        s.text,
        valid=s.valid,
        test=s.test,
        split=s.split,
        glob=s.glob,
        level=s.level,
        min_count=s.min_count,
        max_vocab=s.max_vocab,
        max_tokens=s.max_tokens,
        valid_tokens=s.valid_tokens,
        keep_case=not s.lowercase,
        normalize=s.normalize,
        tokenizer=tokenizer,
    )


def own_sources(s: Settings, given: Collection[str] = ()) -> list[tuple[str, str]]:
    """The texts that a run's own settings name: the name of the setting, and the source.

    Those in `CORPORA` are left out: no settings can change what these names mean.

    Parameters
    ----------
    s
        the settings of the run.
    given
        the names of the settings that are not the run's own: whoever goes on with it gave them.
    """
    sources = [("text", text) for text in s.text] + [("valid", s.valid), ("test", s.test)]
    return [
        (name, source)
        for name, source in sources
        if source is not None and name not in given and source not in CORPORA
    ]


def check_at_hand(s: Settings, given: Collection[str] = ()) -> None:
    """Raise a ValueError if a text of a run would have to be fetched, or is not there.

    Parameters are those of `own_sources`.
    """
    for name, source in own_sources(s, given):
        if not at_hand(source):
            raise ValueError(
                f"the text of the run, {source!r}, is not here, where the run had it; "
                f"{flag(name)} says where it is"
            )
