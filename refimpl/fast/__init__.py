"""The seven loss layers on Numba: plain functions from arrays to a loss, with the gradients in the same pass."""
