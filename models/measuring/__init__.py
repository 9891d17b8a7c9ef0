"""How well a language model predicts a text, and the units in which that is told."""
