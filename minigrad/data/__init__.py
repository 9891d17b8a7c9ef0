"""Text in, batches for truncated backpropagation through time out.

>>> from minigrad.data import Vocabulary, batchify, load_text, split, windows
>>> text = load_text("python-docs")
>>> vocabulary = Vocabulary.from_text(text)
>>> train, valid, test = split(vocabulary.encode(text))
>>> streams = batchify(train, batch_size=32, vocab_size=len(vocabulary))
>>> inputs, targets = windows(streams, bptt=35)[0]
>>> inputs.shape, targets.shape
((35, 32), (35, 32))

Everything here runs on the host, in NumPy, before a model sees it.
"""

from minigrad.data.batches import Windows, batchify, split, windows
from minigrad.data.corpora import load_text, python_docs, read_text
from minigrad.data.vocabulary import Vocabulary

__all__ = [
    "Vocabulary",
    "Windows",
    "batchify",
    "load_text",
    "python_docs",
    "read_text",
    "split",
    "windows",
]
