"""A training run: its settings, its directory, its steps, and how it goes on after a stop.

The reading order:

1. `options`, `shared_settings`: what every run is a function of.
2. `optimizers`, `stepper`, `schedule`: a step of training, and its learning rate.
3. `standing`, `pace`, `history`, `trouble`: what a run knows of itself on its way.
4. `forms`, `directory`, `keeping`, `machine`: its files, and how they are written.
5. `task`, `run`, `going_on`: the run as a whole, of any task, begun or gone on with.

Then what is about language models: `settings`, `recipes`; `own_text`, `cell_files`, `new_model`,
`saved_model` (the text, the cell and the model that settings ask for); `replaying`, `trainer` (a
window), `shards` (its parts); `messages`, `language_modelling`, `resuming`, `loaded_run`. Last what
is about several processes: `leading` and `ranks`. The other tasks are in `models.tasks`.
"""
