"""The tasks beside the language model: what each adds to a training run (`models.runs.task`).

The reading order: `example_trainer`, for every task of many examples; then a task: `classifying`.
"""
