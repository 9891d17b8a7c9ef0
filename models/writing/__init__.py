"""Text written by a language model: sampling, beam search, prompts."""
