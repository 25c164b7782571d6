"""Ten bugs that CUDA kernels have, each planted in a real kernel; ``tests/refimpl/fast/test_cuda_bugs.py`` shows that
every one is found without a GPU."""
