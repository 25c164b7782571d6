"""Pycaffe Python layers: right ones of several kinds, and one for each way of breaking the contract."""

import caffe
import numpy as np


class SquaredError(caffe.Layer):
    """sum (a - b)^2 / (2 N) of two bottoms of as many entries; the other layers change one of its parts."""

    def setup(self, bottom, top):
        self.check(bottom)

    def check(self, bottom):
        if len(bottom) != 2 or bottom[0].count != bottom[1].count:
            raise ValueError("two bottoms of as many entries are needed")

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data.reshape(bottom[0].data.shape)
        top[0].data[...] = np.sum(self.difference**2) / (2 * bottom[0].num)

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                gradient = sign * top[0].diff * self.difference / bottom[i].num
                bottom[i].diff[...] = gradient.reshape(bottom[i].data.shape)


class WithAFloat32Buffer(SquaredError):
    """As in Caffe's own example of a Python loss."""

    def reshape(self, bottom, top):
        self.difference = np.zeros(bottom[0].shape, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data.reshape(bottom[0].data.shape)
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2.0


class Logistic(caffe.Layer):
    """The softmax loss of scores and labels, which take no gradient."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("scores and labels are needed")

    def reshape(self, bottom, top):
        if bottom[1].count != bottom[0].num:
            raise Exception("one label per item is needed")
        top[0].reshape()

    def forward(self, bottom, top):
        scores = bottom[0].data
        self.labels = bottom[1].data.astype(int).ravel()
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        top[0].data[...] = -np.log(self.probabilities[np.arange(len(scores)), self.labels]).mean()

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise Exception("labels take no gradient")
        if propagate_down[0]:
            gradient = self.probabilities.copy()
            gradient[np.arange(len(gradient)), self.labels] -= 1
            bottom[0].diff[...] = gradient * top[0].diff / len(gradient)


class Triplet(caffe.Layer):
    """sum max(0, 1 + |a - p|^2 - |a - n|^2) of three bottoms, with a vector of one for a top."""

    def setup(self, bottom, top):
        if len(bottom) != 3:
            raise Exception("three bottoms are needed")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[2].count:
            raise Exception("bottoms differ")
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.near, self.far = bottom[0].data - bottom[1].data, bottom[0].data - bottom[2].data
        margins = 1 + (self.near**2).sum(axis=1) - (self.far**2).sum(axis=1)
        self.active = (margins > 0)[:, np.newaxis]
        top[0].data[0] = np.maximum(margins, 0).sum()

    def backward(self, top, propagate_down, bottom):
        gradients = (2 * (self.near - self.far), -2 * self.near, 2 * self.far)
        for i, gradient in enumerate(gradients):
            if propagate_down[i]:
                bottom[i].diff[...] = gradient * self.active * top[0].diff[0]


class Weighted(caffe.Layer):
    """x * w, a weight per column: no loss, but a layer with a parameter."""

    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].shape[1])

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.learn((top[0].diff * bottom[0].data).sum(axis=0))
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data

    def learn(self, gradient):
        self.blobs[0].diff[...] += gradient


class OverwritesItsParameter(Weighted):
    def learn(self, gradient):
        self.blobs[0].diff[...] = gradient


class HalvesItsParametersGradient(Weighted):
    def learn(self, gradient):
        self.blobs[0].diff[...] += gradient / 2


class Entropy(caffe.Layer):
    """sum x log x: of positive numbers alone."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[...] = np.sum(bottom[0].data * np.log(bottom[0].data))

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = (np.log(bottom[0].data) + 1) * top[0].diff


class ScaledByItsParameters(Entropy):
    """sum of k x^2, k in JSON in param_str."""

    def setup(self, bottom, top):
        import json

        self.k = json.loads(self.param_str)["k"] * (1 if self.phase == caffe.TRAIN else 100)

    def forward(self, bottom, top):
        top[0].data[...] = self.k * np.sum(bottom[0].data ** 2)

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * self.k * bottom[0].data * top[0].diff


class ForgetsTheWeight(SquaredError):
    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.difference / bottom[i].num


class WeighsTwice(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        for i in range(2):
            if propagate_down[i]:
                bottom[i].diff[...] *= top[0].diff


class WeighsItsLoss(SquaredError):
    """Multiplies by the weight what the net multiplies by it, too."""

    def forward(self, bottom, top):
        super().forward(bottom, top)
        top[0].data[...] *= top[0].diff


class ForgetsTheBatch(SquaredError):
    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff * self.difference


class HasOneSignWrong(SquaredError):
    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if propagate_down[i]:
                bottom[i].diff[...] = top[0].diff * self.difference / bottom[i].num


class AddsToTheDiff(SquaredError):
    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] += sign * top[0].diff * self.difference / bottom[i].num


class WritesWhatNobodyAskedFor(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, (True, True), bottom)


class AsksTheWrongFlag(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, (propagate_down[1], propagate_down[1]), bottom)


class GivesOneGradientOfTwo(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, (propagate_down[0], False), bottom)


class ScalesItsInput(SquaredError):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        bottom[0].data[...] *= 2


class UsesItsInputForScratch(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        bottom[1].data[...] = 0


class KeepsARunningSum(SquaredError):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.total = 0

    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.total += top[0].data
        top[0].data[...] = self.total


class UsesItsBufferUp(SquaredError):
    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        self.difference *= 0.5


class KeepsTheFirstBatch(SquaredError):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.items = bottom[0].num

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.difference**2) / (2 * self.items)

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff * self.difference / self.items


class BuffersTheFirstBatch(SquaredError):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.difference = np.zeros(bottom[0].shape)

    def forward(self, bottom, top):
        np.subtract(bottom[0].data, bottom[1].data, out=self.difference)
        top[0].data[...] = np.sum(self.difference**2) / (2 * bottom[0].num)


class ReshapesInForward(SquaredError):
    def forward(self, bottom, top):
        top[0].reshape(1)
        super().forward(bottom, top)


class IsRandom(SquaredError):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.difference *= np.random.default_rng().uniform(0.5, 1, self.difference.shape)
        top[0].data[...] = np.sum(self.difference**2)


class RefusesBackward(SquaredError):
    def backward(self, top, propagate_down, bottom):
        raise NotImplementedError("no gradient yet")


class RefusesEverything(SquaredError):
    def setup(self, bottom, top):
        raise Exception("param_str is to say which margin")


class EndsTheProcess(SquaredError):
    def forward(self, bottom, top):
        raise SystemExit(3)


class HasNoBackward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    reshape = forward = setup


class IteratesOverBottoms(SquaredError):
    def check(self, bottom):
        for blob in bottom:
            blob.reshape(*blob.shape)


NO_LAYER = 3


class NoLayer:
    pass
