"""Python layers of LabelSpecificAdd, a head beneath a loss: a right one, and three that are wrong in one thing."""

import json

import caffe
import numpy as np


class Right(caffe.Layer):
    """The bias at each label whose score is above minus the bias; options come as JSON in param_str."""

    def setup(self, bottom, top):
        if len(bottom) != 2 or not 1 <= len(top) <= 2:
            raise Exception(f"{len(bottom)} bottoms and {len(top)} tops")
        self.own = json.loads(self.param_str or "{}").get("label_specific_add_param", {})
        self.passes = self.own.get("iteration", 0)

    def reshape(self, bottom, top):
        if len(bottom[0].shape) > 4:
            raise Exception("more than four axes")
        top[0].reshape(*bottom[0].data.shape)
        if len(top) > 1:
            top[1].reshape(1)

    def bias(self):
        if "bias_base" not in self.own:
            return self.own.get("bias", 0.0)
        grown = (1 + self.own.get("bias_gamma", 0.0) * self.passes) ** self.own.get("bias_power", 1.0)
        self.passes += 1
        annealed = max(self.own["bias_base"] + grown - 1, self.own.get("bias_min", 0.0))
        return min(annealed, self.own.get("bias_max", 0.0))

    def labels(self, bottom):
        return bottom[1].data.ravel()[: bottom[0].num].astype(int)

    def forward(self, bottom, top):
        scores = bottom[0].data.copy()
        if self.phase == caffe.TRAIN:
            rows, columns, bias = np.arange(len(scores)), self.labels(bottom), self.bias()
            flat = scores.reshape(len(scores), -1)
            flat[rows, columns] = self.moved(flat[rows, columns], bias)
            if len(top) > 1:
                top[1].data[...] = bias
        top[0].data[...] = scores

    def moved(self, scores, bias):
        return np.where(scores > -bias, scores + scores.dtype.type(bias), scores)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


class Everywhere(Right):
    """However low the score is."""

    def moved(self, scores, bias):
        return scores + scores.dtype.type(bias)


class Rounded(Right):
    """Labels to the nearest class."""

    def labels(self, bottom):
        return np.minimum(
            np.rint(bottom[1].data.ravel()[: bottom[0].num]), bottom[0].count // bottom[0].num - 1
        ).astype(int)


class Masked(Right):
    """A label whose score is not moved has no gradient."""

    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        if propagate_down[0] and "bias_base" not in self.own:
            rows, columns = np.arange(bottom[0].num), self.labels(bottom)
            below = bottom[0].data.reshape(len(rows), -1)[rows, columns] <= -self.own.get("bias", 0.0)
            bottom[0].diff.reshape(len(rows), -1)[rows[below], columns[below]] = 0
