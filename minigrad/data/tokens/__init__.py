"""What the tokens of a text are: characters, words, bytes, or pieces of words; each has an id.

To read it, begin with `vocabulary` and its `symbols`, then `bytes` and `byte_pairs`, and
`tokenizer` (what all three can do). `saving` writes them to files, `decoding` makes text of ids one
by one, and `token_files` keeps the ids of long texts.
"""
