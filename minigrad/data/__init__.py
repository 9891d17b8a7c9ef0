"""From text to batches for truncated backpropagation through time.

>>> from minigrad.data import Vocabulary, batchify, load_text, split, windows
>>> text = load_text("python-docs")
>>> vocabulary = Vocabulary.from_text(text)
>>> train, valid, test = split(vocabulary.encode(text))
>>> streams = batchify(train, batch_size=32, vocab_size=len(vocabulary))
>>> inputs, targets = windows(streams, bptt=35)[0]
>>> inputs.shape, targets.shape
((35, 32), (35, 32))

If a text is larger than memory, `tokenized` gives ids that stay in a file:

>>> from minigrad.data import cut, find_text, tokenized
>>> train, valid, test = cut(find_text("python-docs").text, (0.9, 0.05, 0.05))
>>> vocabulary = Vocabulary.from_chunks(train.pieces())
>>> streams = batchify(tokenized(vocabulary, train).ids, batch_size=32)
>>> streams.dtype, windows(streams, bptt=35)[0][0].dtype
(dtype('uint8'), dtype('int64'))

Everything here runs on the host, in NumPy, before a model sees it.

To read it, follow a text on its way: `texts` (where a text comes from), `tokens` (what its ids
are), `batches` (windows of one long sequence), `minibatches` (many examples instead); `checks` is
what they share.
"""

from minigrad.data.batches import TooShortError, Windows, batchify, split, windows
from minigrad.data.minibatches import DataLoader, collate, pad_sequences
from minigrad.data.texts.corpora import CORPORA, Found, at_hand, find_text, load_text, python_docs
from minigrad.data.texts.excerpts import cut, first_characters, first_words
from minigrad.data.texts.text import Lowercase, Normalized, Text, decomposed
from minigrad.data.texts.utf8 import read_text
from minigrad.data.tokens.byte_pairs import BytePairVocabulary
from minigrad.data.tokens.bytes import ByteVocabulary
from minigrad.data.tokens.decoding import TextDecoder
from minigrad.data.tokens.token_files import Tokens, tokenized
from minigrad.data.tokens.tokenizer import Tokenizer, TokenLevel, load_tokenizer
from minigrad.data.tokens.vocabulary import Vocabulary
from minigrad.files import cache_dir

__all__ = [
    "CORPORA",
    "BytePairVocabulary",
    "ByteVocabulary",
    "DataLoader",
    "Found",
    "Lowercase",
    "Normalized",
    "Text",
    "TextDecoder",
    "TokenLevel",
    "Tokenizer",
    "Tokens",
    "TooShortError",
    "Vocabulary",
    "Windows",
    "at_hand",
    "batchify",
    "cache_dir",
    "collate",
    "cut",
    "decomposed",
    "find_text",
    "first_characters",
    "first_words",
    "load_text",
    "load_tokenizer",
    "pad_sequences",
    "python_docs",
    "read_text",
    "split",
    "tokenized",
    "windows",
]
