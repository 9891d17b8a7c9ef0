"""Training seen: the loss around a model, and what happens in its layers.

- `surface.py`: the loss over two directions, with the paths of training on it
- `histograms.py`: weights, gradients and activations of each layer over training, and the units
  that are dead or saturated
"""
