"""A pycaffe without Caffe: one EuclideanLoss of x and y, and ways to die on request.

The first line of the net, a comment, says what else is to happen: ``# segfault in forward``.
"""

import ctypes
import os
import signal
import time

import numpy as np
import scipy.ndimage  # absent or not, as in pycaffe's io.py
from skimage.transform import resize

__version__ = "miniature"
TRAIN, TEST = 0, 1
IMAGE_TOOLS = (scipy.ndimage.zoom, resize)

CHECK = "F1121 12:00:00.000000  4242 euclidean_loss_layer.cpp:12] Check failed: a == b (1 vs. 2) Inputs must agree.\n"


def layer_type_list():
    return ["Input", "EuclideanLoss"]


mode = []


def set_mode_cpu():
    mode[:] = ["cpu"]


def set_mode_gpu():
    mode.append("gpu")


def set_device(number):
    mode[:] = [number]


class Timer:
    """Every pass takes 7 ms by this clock."""

    def start(self):
        self.ms = None

    def stop(self):
        self.ms = 7.0


def happen(wish, place):
    """Does what the net's first line asks for, in the place that it asks for."""
    what, _, where = wish.partition(" in ")
    if where != place:
        return
    if what == "print":
        ctypes.CDLL(None).puts(b"printed by C")
        ctypes.CDLL(None).fflush(None)
        print("printed by Python", flush=True)
    elif what == "check":
        os.write(2, CHECK.encode() + b"*** Check failure stack trace: ***\n    @ 0x7f google::LogMessage::Fail()\n")
        os.abort()
    elif what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "raise":
        raise RuntimeError("Could not open file")
    elif what == "exit":
        os._exit(3)
    elif what == "hang":
        time.sleep(3600)


class Blob:
    def __init__(self, *shape):
        self.reshape(*shape)

    def reshape(self, *shape):
        self.shape = shape
        self.data, self.diff = np.zeros(shape, np.float32), np.zeros(shape, np.float32)


class Layer:
    def __init__(self, layer_type, *blobs):
        self.type, self.blobs = layer_type, list(blobs)


class Net:
    def __init__(self, path, phase, level=0, stages=()):
        with open(path) as file:
            self.wish = file.readline().strip("# \n")
        if self.wish == "say how built":
            raise RuntimeError(f"phase {phase} level {level} stages {stages} files {sorted(os.listdir('.'))} on {mode}")
        happen(self.wish, "construct")
        self._blob_names = ["x", "y", "loss"]
        self._blobs = [Blob(2, 3), Blob(2, 3), Blob()]
        self._blobs[2].diff[...] = 1
        self._blob_loss_weights = [0.0, 0.0, 1.0]
        self._layer_names = ["x", "y", "loss"]
        self.layers = [Layer("Input"), Layer("Input"), Layer("EuclideanLoss", Blob(1, 1, 1, 2))]
        self._inputs, self._outputs = [0, 1], [2]

    def _bottom_ids(self, index):
        return ([], [], [0, 1])[index]

    def _top_ids(self, index):
        return ([0], [1], [2])[index]

    def _forward(self, start, end):
        assert (start, end) == (0, 2)
        happen(self.wish, "forward")
        x, y, loss = self._blobs
        loss.data[...] = np.sum((x.data - y.data) ** 2) / (2 * x.shape[0])
        return float(loss.data * loss.diff)

    def _backward(self, start, end):
        assert (start, end) == (2, 0)
        happen(self.wish, "backward")
        x, y, loss = self._blobs
        x.diff[...] = (x.data - y.data) * loss.diff / x.shape[0]
        self.layers[2].blobs[0].diff[...] += 1
