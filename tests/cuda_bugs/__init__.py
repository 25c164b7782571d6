"""Ten bugs that CUDA kernels have, each planted in a real kernel of the package; ``tests/test_cuda_bugs.py`` shows that
every one is found without a GPU."""
