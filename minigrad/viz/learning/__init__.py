"""Training seen: the loss around a model, what happens in its layers, and where the time goes.

- `surface.py`: the loss over two directions, with the paths of training on it
- `histograms.py`: weights, gradients and activations of each layer over training, and the units
  that are dead or saturated
- `timeline.py`: every op and rule of a step, for Perfetto and Chrome
"""
