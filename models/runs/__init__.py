"""A training run: its settings, its directory, its steps, and how it goes on after a stop.

The reading order:

1. `options`, `settings`, `recipes`: all that a run is a function of.
2. `own_text`, `cell_files`, `new_model`: the text, the cell and the model that settings ask for.
3. `optimizers`, `replaying`, `trainer`, `schedule`: a step of training, and its learning rate.
4. `standing`, `pace`, `history`, `trouble`: what a run knows of itself on its way.
5. `forms`, `saved_model`, `directory`, `keeping`, `machine`: its files, and how they are written.
6. `messages`, `run`, `resuming`: the run as a whole, begun or gone on with.
"""
