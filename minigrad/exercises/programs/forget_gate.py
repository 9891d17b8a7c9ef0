"""An LSTM that forgets.

A bias of 1 on the forget gate keeps the memory open while the network is young. The rows of an
LSTM's bias are those of the gates i, f, g, o, one block of H rows below the other. Here another
gate got the 1.
"""

from minigrad import nn


def remembering(input_size, H):
    """An LSTM cell whose forget gate begins with a bias of 1, and all others with 0."""
    cell = nn.LSTMCell(input_size, H)
    for bias in (cell.bias_ih, cell.bias_hh):
        nn.init.zeros_(bias)
    values = cell.bias_ih.detach().numpy().copy()
    values[:H] = 1.0
    cell.bias_ih.data[...] = values
    return cell


if __name__ == "__main__":
    print(remembering(2, 3).bias_ih.numpy().reshape(4, 3), "the rows are i, f, g, o")
