"""Recurrent networks: their equations, their layers, and backpropagation through time.

Read in this order. What the networks are:

1. `equations.py`: one step of the RNN, the LSTM and the GRU, as the textbook writes them, and the
   loop over a sequence.
2. `cells.py`: RNNCell, LSTMCell and GRUCell, one step as a module.
3. `stack.py`: several layers, both directions, sequences of different lengths.
4. `layers.py`: RNN, LSTM and GRU, which run over whole sequences.
5. `layer_norm_lstm.py`: LayerNormLSTM, which runs its equations step by step.
6. `own_cell.py`: Recurrent, a layer from a cell of your own.

How a whole sequence becomes one op:

7. `steps.py`: which rows of an array belong to each time step, also without padding.
8. `fused.py`: the loop on the CPU, forward, and backward by hand.
9. `fused_gpu.py`: the same loop on a GPU.
10. `kernels.py`: what a GPU does in one step of that loop.
"""
