"""EuclideanLoss as a pycaffe Python layer, two ways: right, and with the mistake that most of them have.

lossconf run python-layer:euclidean_loss.py:EuclideanLoss --as EuclideanLoss
lossconf run python-layer:euclidean_loss.py:ForgetsTheWeight --as EuclideanLoss
"""

import caffe
import numpy as np


class EuclideanLoss(caffe.Layer):
    """E = 1/(2N) sum (a - b)^2 for two bottoms of N items each."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("EuclideanLoss takes two bottoms")

    def reshape(self, bottom, top):
        if bottom[0].num != bottom[1].num or bottom[0].count != bottom[1].count:
            raise ValueError("both bottoms need as many items, of as many entries")
        top[0].reshape()  # a scalar has no axes; reshape(1) makes a vector of one, which Caffe's own losses do not

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data.reshape(bottom[0].data.shape)
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                gradient = sign * self.weight_of(top) * self.difference / bottom[i].num
                bottom[i].diff[...] = gradient.reshape(bottom[i].data.shape)

    def weight_of(self, top):
        """What the loss counts for: Caffe writes its loss_weight there, or the gradient of whoever reads the top."""
        return top[0].diff


class ForgetsTheWeight(EuclideanLoss):
    """Right as long as loss_weight is 1, and the net never trains as it should where it is not."""

    def weight_of(self, top):
        return 1
