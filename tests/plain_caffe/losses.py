"""The seven loss layers, loop by loop."""

from __future__ import annotations

from math import exp, log, log1p, sqrt, tanh

import numpy as np

from tests.plain_caffe.blob import Blob, Refused
from tests.plain_caffe.layers import LAYERS, Layer, softmax

__all__: list[str] = []

FLT_MIN = float(np.finfo(np.float32).tiny)
LOG_THRESHOLD = float(np.float32(1e-20))


class Loss(Layer):
    bottoms = 2
    tops = 1
    automatic = True
    labelled = True

    def setup(self, bottom, top):
        if not self.weights:
            self.weights.append(1.0)

    def reshape(self, bottom, top):
        if not bottom[0].shape or not bottom[1].shape or bottom[0].shape[0] != bottom[1].shape[0]:
            raise Refused("setup")
        top[0].reshape([])

    def allow_force_backward(self, index):
        return index != 1

    def refuse_label_gradient(self, propagate_down):
        if propagate_down[1]:
            raise Refused("backward")

    def normaliser(self, mode, outer, inner, valid):
        value = {"FULL": outer * inner, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode]
        return max(1.0, value)

    def mode(self, default):
        param = self.param.loss_param
        if param.has("normalization"):
            return param.normalization
        if param.has("normalize"):
            return "VALID" if param.normalize else "BATCH_SIZE"
        return default

    def is_ignored(self, label):
        return self.param.loss_param.has("ignore_label") and label == self.param.loss_param.ignore_label


class Logits(Loss):
    """What SoftmaxWithLoss and InfogainLoss have in common: a softmax inside, labels by outer and inner index."""

    def reshape(self, bottom, top):
        Loss.reshape(self, bottom, top)
        self.at = bottom[0].axis(self.axis_asked())
        self.outer, self.inner = bottom[0].count(0, self.at), bottom[0].count(self.at + 1)
        self.classes = bottom[0].shape[self.at]
        if self.outer * self.inner != bottom[1].count():
            raise Refused("setup")
        self.prob.reshape(bottom[0].shape)
        if len(top) > 1:
            top[1].reshape(bottom[0].shape)

    def setup(self, bottom, top):
        Loss.setup(self, bottom, top)
        self.prob = Blob()

    def places(self, bottom):
        """Outer index, inner index and label of every position."""
        for i in range(self.outer):
            for j in range(self.inner):
                yield i, j, int(bottom[1].data[i * self.inner + j])

    def index(self, i, c, j):
        return (i * self.classes + c) * self.inner + j


class SoftmaxWithLoss(Logits):
    tops = (1, 2)

    def axis_asked(self):
        return self.param.softmax_param.axis

    def setup(self, bottom, top):
        if len(self.weights) > 1:  # the inner Softmax has one top and inherits them all
            raise Refused("setup")
        Logits.setup(self, bottom, top)

    def forward(self, bottom, top):
        softmax(bottom[0].data, self.prob.data, self.outer, self.classes, self.inner)
        loss, valid = 0.0, 0
        for i, j, label in self.places(bottom):
            if self.is_ignored(label):
                continue
            loss -= log(max(self.prob.data[self.index(i, label, j)], FLT_MIN))
            valid += 1
        top[0].data[0] = loss / self.normaliser(self.mode("VALID"), self.outer, self.inner, valid)
        if len(top) > 1:
            top[1].share_data(self.prob)

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        diff, valid = bottom[0].diff, 0
        diff[:] = self.prob.data
        for i, j, label in self.places(bottom):
            if self.is_ignored(label):
                for c in range(self.classes):
                    diff[self.index(i, c, j)] = 0.0
            else:
                diff[self.index(i, label, j)] -= 1.0
                valid += 1
        factor = top[0].diff[0] / self.normaliser(self.mode("VALID"), self.outer, self.inner, valid)
        for k in range(len(diff)):
            diff[k] *= factor


class InfogainLoss(Logits):
    bottoms = (2, 3)
    tops = (1, 2)

    def axis_asked(self):
        return self.param.infogain_loss_param.axis

    def reshape(self, bottom, top):
        Logits.reshape(self, bottom, top)
        if len(bottom) < 3 or bottom[2].count() != self.classes**2:
            raise Refused("setup")

    def forward(self, bottom, top):
        softmax(bottom[0].data, self.prob.data, self.outer, self.classes, self.inner)
        loss, valid, matrix = 0.0, 0, bottom[2].data
        for i, j, label in self.places(bottom):
            if self.is_ignored(label):
                continue
            for c in range(self.classes):
                probability = max(self.prob.data[self.index(i, c, j)], LOG_THRESHOLD)
                loss -= matrix[label * self.classes + c] * log(probability)
            valid += 1
        top[0].data[0] = loss / self.normaliser(self.mode("VALID"), self.outer, self.inner, valid)
        if len(top) > 1:
            top[1].share_data(self.prob)

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if len(bottom) > 2 and propagate_down[2]:
            raise Refused("backward")
        if not propagate_down[0]:
            return
        diff, matrix, valid = bottom[0].diff, bottom[2].data, 0
        for i, j, label in self.places(bottom):
            if self.is_ignored(label):
                for c in range(self.classes):
                    diff[self.index(i, c, j)] = 0.0
                continue
            row = matrix[label * self.classes : (label + 1) * self.classes]
            for c in range(self.classes):
                k = self.index(i, c, j)
                diff[k] = self.prob.data[k] * sum(row) - row[c]
            valid += 1
        factor = top[0].diff[0] / self.normaliser(self.mode("VALID"), self.outer, self.inner, valid)
        for k in range(len(diff)):
            diff[k] *= factor


class SigmoidCrossEntropyLoss(Loss):
    def reshape(self, bottom, top):
        Loss.reshape(self, bottom, top)
        if bottom[0].count() != bottom[1].count():
            raise Refused("setup")

    def forward(self, bottom, top):
        loss, valid = 0.0, 0
        for x, t in zip(bottom[0].data, bottom[1].data, strict=True):
            if self.is_ignored(int(t)):
                continue
            loss -= x * (t - (x >= 0)) - log1p(exp(x - 2 * x * (x >= 0)))
            valid += 1
        outer = bottom[0].shape[0]
        self.divisor = self.normaliser(self.mode("BATCH_SIZE"), outer, bottom[0].count(1), valid)
        self.sigmoid = [0.5 * tanh(0.5 * x) + 0.5 for x in bottom[0].data]
        top[0].data[0] = loss / self.divisor

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        for k, (s, t) in enumerate(zip(self.sigmoid, bottom[1].data, strict=True)):
            inside = 0.0 if self.is_ignored(int(t)) else s - t
            bottom[0].diff[k] = inside * top[0].diff[0] / self.divisor


class EuclideanLoss(Loss):
    labelled = False

    def setup(self, bottom, top):
        Loss.setup(self, bottom, top)
        self.difference = Blob()

    def reshape(self, bottom, top):
        Loss.reshape(self, bottom, top)
        if bottom[0].count(1) != bottom[1].count(1):
            raise Refused("setup")
        self.difference.reshape(bottom[0].shape)

    def forward(self, bottom, top):
        total = 0.0
        for k in range(bottom[0].count()):
            self.difference.data[k] = bottom[0].data[k] - bottom[1].data[k]
            total += self.difference.data[k] ** 2
        top[0].data[0] = total / bottom[0].legacy(0) / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1.0), (1, -1.0)):
            if propagate_down[i]:
                for k in range(bottom[i].count()):
                    bottom[i].diff[k] = sign * top[0].diff[0] / bottom[i].legacy(0) * self.difference.data[k]

    def allow_force_backward(self, index):
        return True


class HingeLoss(Loss):
    def forward(self, bottom, top):
        scores, margins, labels = bottom[0].data, bottom[0].diff, bottom[1].data
        num = bottom[0].legacy(0)
        dim = bottom[0].count() // num
        margins[:] = scores
        for i in range(num):
            margins[i * dim + int(labels[i])] *= -1
        for k in range(num * dim):
            margins[k] = max(0.0, 1 + margins[k])
        squared = self.param.hinge_loss_param.norm == "L2"
        top[0].data[0] = sum(m * m if squared else abs(m) for m in margins) / num

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        diff, labels = bottom[0].diff, bottom[1].data
        num = bottom[0].legacy(0)
        dim = bottom[0].count() // num
        for i in range(num):
            diff[i * dim + int(labels[i])] *= -1
        for k in range(num * dim):
            if self.param.hinge_loss_param.norm == "L2":
                diff[k] *= top[0].diff[0] * 2 / num
            else:
                diff[k] = np.sign(diff[k]) * top[0].diff[0] / num


class MultinomialLogisticLoss(Loss):
    def reshape(self, bottom, top):
        Loss.reshape(self, bottom, top)
        if [bottom[1].legacy(i) for i in (1, 2, 3)] != [1, 1, 1]:
            raise Refused("setup")

    def forward(self, bottom, top):
        num = bottom[0].legacy(0)
        dim = bottom[0].count() // num
        loss = 0.0
        for i in range(num):
            loss -= log(max(bottom[0].data[i * dim + int(bottom[1].data[i])], LOG_THRESHOLD))
        top[0].data[0] = loss / num

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        num = bottom[0].legacy(0)
        dim = bottom[0].count() // num
        bottom[0].diff[:] = 0.0
        for i in range(num):
            k = i * dim + int(bottom[1].data[i])
            bottom[0].diff[k] = -top[0].diff[0] / num / max(bottom[0].data[k], LOG_THRESHOLD)


class ContrastiveLoss(Loss):
    bottoms = 3
    labelled = False

    def setup(self, bottom, top):
        Loss.setup(self, bottom, top)
        channels = bottom[0].legacy(1)
        if channels != bottom[1].legacy(1) or bottom[2].legacy(1) != 1:
            raise Refused("setup")
        if any(blob.legacy(i) != 1 for blob in bottom for i in (2, 3)):
            raise Refused("setup")

    def forward(self, bottom, top):
        num, channels = bottom[0].legacy(0), bottom[0].legacy(1)
        margin, legacy = self.param.contrastive_loss_param.margin, self.param.contrastive_loss_param.legacy_version
        if bottom[2].count() < num:  # Caffe reads past the end
            raise Refused("forward")
        self.difference = [a - b for a, b in zip(bottom[0].data, bottom[1].data, strict=True)]
        self.squared = [sum(d * d for d in self.difference[i * channels : (i + 1) * channels]) for i in range(num)]
        loss = 0.0
        for i in range(num):
            if int(bottom[2].data[i]):
                loss += self.squared[i]
            elif legacy:
                loss += max(margin - self.squared[i], 0.0)
            else:
                loss += max(margin - sqrt(self.squared[i]), 0.0) ** 2
        top[0].data[0] = loss / num / 2

    def backward(self, top, propagate_down, bottom):
        num, channels = bottom[0].legacy(0), bottom[0].legacy(1)
        margin, legacy = self.param.contrastive_loss_param.margin, self.param.contrastive_loss_param.legacy_version
        for i, sign in ((0, 1.0), (1, -1.0)):
            if not propagate_down[i]:
                continue
            alpha = sign * top[0].diff[0] / num
            for j in range(num):
                if int(bottom[2].data[j]):
                    factor = alpha
                elif legacy:
                    factor = -alpha if margin - self.squared[j] > 0 else 0.0
                else:
                    distance = sqrt(self.squared[j])
                    missing = margin - distance
                    factor = -alpha * missing / (distance + float(np.float64(1e-4))) if missing > 0 else 0.0
                for k in range(j * channels, (j + 1) * channels):
                    bottom[i].diff[k] = factor * self.difference[k]

    def allow_force_backward(self, index):
        return index != 2


LAYERS.update({found.__name__: found for found in Loss.__subclasses__() if found is not Logits})
LAYERS.update({found.__name__: found for found in Logits.__subclasses__()})
