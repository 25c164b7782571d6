"""The seven loss layers on a GPU, or on the simulator of one."""
