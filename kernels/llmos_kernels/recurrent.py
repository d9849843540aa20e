"""Cells of recurrent networks: from a step's gates to the next state, row by row.

Gates stand in torch's order. Twins: reference.lstm_cell, reference.gru_cell, reference.rnn_cell.
"""

from typing import Any

import numpy as np
from numba import prange

from llmos_kernels._jit import exp32, inlined, parallel_kernel, tanh32


@inlined
def _sigmoid(x: Any) -> Any:
    one = np.float32(1.0)
    return one / (one + exp32(-x))


@parallel_kernel
def lstm_cell(inputs: Any, states: Any, cell: Any, out: Any) -> None:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; with forget gates).

    Args:
        inputs: (rows, 4 * size) float32, the input's part of the gates: in, forget, cell, out.
        states: the same of the hidden state.
        cell: (rows, size) float32, the cell state; overwritten by the next.
        out: (rows, size) float32, the next hidden state.
    """
    size = out.shape[1]
    for row in prange(out.shape[0]):
        for at in range(size):
            enter = _sigmoid(inputs[row, at] + states[row, at])
            forget = _sigmoid(inputs[row, size + at] + states[row, size + at])
            value = tanh32(inputs[row, 2 * size + at] + states[row, 2 * size + at])
            leave = _sigmoid(inputs[row, 3 * size + at] + states[row, 3 * size + at])
            kept = forget * cell[row, at] + enter * value
            cell[row, at] = kept
            out[row, at] = leave * tanh32(kept)


@parallel_kernel
def gru_cell(inputs: Any, states: Any, hidden: Any, out: Any) -> None:
    """Gated recurrent unit (Cho et al., 2014), reset after the product, as in torch and cuDNN.

    Args:
        inputs: (rows, 3 * size) float32, the input's part of the gates: reset, update, new.
        states: the same of the hidden state.
        hidden: (rows, size) float32, the hidden state.
        out: (rows, size) float32, the next one.
    """
    size = out.shape[1]
    one = np.float32(1.0)
    for row in prange(out.shape[0]):
        for at in range(size):
            reset = _sigmoid(inputs[row, at] + states[row, at])
            update = _sigmoid(inputs[row, size + at] + states[row, size + at])
            new = tanh32(inputs[row, 2 * size + at] + reset * states[row, 2 * size + at])
            out[row, at] = (one - update) * new + update * hidden[row, at]


@parallel_kernel
def rnn_cell(inputs: Any, states: Any, out: Any) -> None:
    """Elman's network (1990): tanh of the sum; all (rows, size) float32."""
    for row in prange(out.shape[0]):
        for at in range(out.shape[1]):
            out[row, at] = tanh32(inputs[row, at] + states[row, at])
