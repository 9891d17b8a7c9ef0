"""The tasks beside the language model: what each adds to a training run (`models.runs.task`).

The reading order: `problem`, what a task gives; `class_problem`, what classifiers share; then a
task, such as `classifying` or `remembering`; `learning` and `example_trainer`, what is the same for
all; `problems` lists them.
"""
