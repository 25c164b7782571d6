"""A Python layer with three mistakes, each of which shows in one class of values only, for explorations to find."""

import caffe
import numpy as np


class ThreeMistakes(caffe.Layer):
    """EuclideanLoss: what is beyond 500 entries of an item is left out, a negative weight loses its sign, and the
    second bottom's gradient is added to what is there."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        if bottom[0].num != bottom[1].num or bottom[0].count != bottom[1].count:
            raise ValueError("both bottoms need as many items, of as many entries")
        top[0].reshape()

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data.reshape(bottom[0].data.shape)
        rows = self.difference.reshape(bottom[0].num, -1)[:, :500]
        top[0].data[...] = np.sum(rows**2) / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                gradient = sign * abs(top[0].diff) * self.difference / bottom[i].num
                bottom[i].diff[...] = (i and bottom[i].diff) + gradient.reshape(bottom[i].data.shape)
