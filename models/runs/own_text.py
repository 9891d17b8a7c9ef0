"""The text of a run: as its settings name it, and when the run goes on or is measured again.

Whoever has made a run directory has chosen what its settings name, so they do not decide alone what
is read here, and nothing is fetched because of them: a text is where they say it is, and is the
very text that the run began with, or else whoever calls the command has to name it.
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
    """The texts that a run names itself, and not by a name of `CORPORA`: setting and source.

    What such a name means, no settings can change.

    Parameters
    ----------
    s
        the settings of the run.
    given
        the names of those settings that are not the run's own, but of whoever goes on with it.
    """
    sources = [("text", text) for text in s.text] + [("valid", s.valid), ("test", s.test)]
    return [
        (name, source)
        for name, source in sources
        if source is not None and name not in given and source not in CORPORA
    ]


def check_at_hand(s: Settings, given: Collection[str] = ()) -> None:
    """Raise a ValueError if a text of a run is not here: a file, a directory, or in the cache.

    Parameters are those of `own_sources`.
    """
    for name, source in own_sources(s, given):
        if not at_hand(source):
            raise ValueError(
                f"the text of the run, {source!r}, is not here, where the run had it; "
                f"{flag(name)} says where it is"
            )
