"""What an error says: how it shows a value, and which words of other libraries it knows.

`values` shows a value, `words` has the words for tensors and functions, `layer_words` those for
layers.
"""
