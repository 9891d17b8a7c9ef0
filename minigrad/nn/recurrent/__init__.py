"""Recurrent networks: their equations, their layers, and backpropagation through time.

Read in this order. What the networks are:

1. `equations.py`: one step of the RNN, the LSTM and the GRU, as the textbook writes them, and the
   loop over a sequence.
2. `cells.py`: RNNCell, LSTMCell and GRUCell, one step as a module.
3. `stack.py`: several layers, both directions, sequences of different lengths.
4. `layers.py`: RNN, LSTM and GRU, which run over whole sequences.
5. `own_cell.py`: Recurrent, a layer from a cell of your own.

How a whole sequence becomes one op:

6. `steps.py`: which rows of an array belong to each time step, also without padding.
7. `fused.py`: the loop on the CPU, forward, and backward by hand.
8. `fused_gpu.py`: the same loop on a GPU.
9. `kernels.py`: what a GPU does in one step of that loop.
"""
