"""The loss layers as Numba kernels for CPUs, one file per layer.

Each file has a function named after the layer, which computes the loss and, given arrays for them, the gradients in the
same pass; and ``backward``, which computes gradients alone, for a caller who learns ``top_diff`` only after the loss.
"""
