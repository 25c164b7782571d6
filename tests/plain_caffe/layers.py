"""The layers around the losses, loop by loop."""

from __future__ import annotations

from math import exp, log, tanh

import numpy as np

from tests.plain_caffe.blob import Blob, Refused

__all__ = ["LAYERS", "Layer", "softmax"]


class Layer:
    """``bottoms`` and ``tops`` are how many: a number, or the least and the most; None: any."""

    bottoms = 1
    tops = 1
    automatic = False

    def __init__(self, param):
        self.param = param
        self.weights = list(param.loss_weight)
        self.blobs = []
        self.ask = []  # which of the parameters get a gradient

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)

    def allow_force_backward(self, index):
        return True

    def learn(self, *shapes):
        self.blobs = [Blob(shape) for shape in shapes]
        self.ask = [True] * len(shapes)


def softmax(x, y, outer, classes, inner):
    for i in range(outer):
        for j in range(inner):
            places = [(i * classes + c) * inner + j for c in range(classes)]
            high = max(x[k] for k in places)
            powers = [exp(x[k] - high) for k in places]
            for k, power in zip(places, powers, strict=True):
                y[k] = power / sum(powers)


class Input(Layer):
    bottoms = 0
    tops = (1, None)

    def setup(self, bottom, top):
        shapes = self.param.input_param.shape
        for i, blob in enumerate(top):
            blob.reshape(shapes[0 if len(shapes) == 1 else i].dim)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        pass


class Split(Layer):
    tops = (1, None)

    def reshape(self, bottom, top):
        for blob in top:
            blob.reshape(bottom[0].shape)

    def forward(self, bottom, top):
        for blob in top:
            blob.share_data(bottom[0])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[:] = [sum(blob.diff[k] for blob in top) for k in range(bottom[0].count())]


class Silence(Layer):
    bottoms = (1, None)
    tops = 0

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        for blob, asked in zip(bottom, propagate_down, strict=True):
            if asked:
                blob.diff[:] = 0.0


class Pointwise(Layer):
    """y = f(x), dx = dy f'(x, y), entry by entry; reads and writes in Caffe's order, which shows in place."""

    def forward(self, bottom, top):
        for k in range(bottom[0].count()):
            top[0].data[k] = self.value(bottom[0].data[k])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            for k in range(bottom[0].count()):
                bottom[0].diff[k] = top[0].diff[k] * self.slope(bottom[0].data[k], top[0].data[k])


class ReLU(Pointwise):
    def value(self, x):
        return max(x, 0.0) + self.param.relu_param.negative_slope * min(x, 0.0)

    def slope(self, x, y):
        return 1.0 if x > 0 else self.param.relu_param.negative_slope


class ELU(Pointwise):
    def value(self, x):
        return max(x, 0.0) + self.param.elu_param.alpha * (exp(min(x, 0.0)) - 1)

    def slope(self, x, y):
        return 1.0 if x > 0 else self.param.elu_param.alpha + y


class Sigmoid(Pointwise):
    def value(self, x):
        return 0.5 * tanh(0.5 * x) + 0.5

    def slope(self, x, y):
        return y * (1 - y)


class TanH(Pointwise):
    def value(self, x):
        return tanh(x)

    def slope(self, x, y):
        return 1 - y * y


class BNLL(Pointwise):
    def value(self, x):
        return x + log(1 + exp(-x)) if x > 0 else log(1 + exp(x))

    def slope(self, x, y):
        e = exp(min(x, 50.0))
        return e / (e + 1)


class AbsVal(Pointwise):
    def setup(self, bottom, top):
        if bottom[0] is top[0]:
            raise Refused("setup")

    def value(self, x):
        return abs(x)

    def slope(self, x, y):
        return float(np.sign(x))


class Exp(Layer):
    def setup(self, bottom, top):
        p = self.param.exp_param
        self.inner = (1.0 if p.base == -1 else log(p.base)) * p.scale
        self.outer = 1.0 if p.shift == 0 else exp(p.shift) if p.base == -1 else p.base**p.shift

    def forward(self, bottom, top):
        for k in range(bottom[0].count()):
            top[0].data[k] = exp(self.inner * bottom[0].data[k]) * self.outer

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            for k in range(bottom[0].count()):
                bottom[0].diff[k] = top[0].data[k] * top[0].diff[k] * self.inner


class Log(Layer):
    def setup(self, bottom, top):
        self.base = 1.0 if self.param.log_param.base == -1 else log(self.param.log_param.base)

    def forward(self, bottom, top):
        p = self.param.log_param
        for k in range(bottom[0].count()):
            top[0].data[k] = log(p.scale * bottom[0].data[k] + p.shift) / self.base

    def backward(self, top, propagate_down, bottom):
        p = self.param.log_param
        if propagate_down[0]:
            bottom[0].diff[:] = [1 / (p.scale * x + p.shift) * p.scale / self.base for x in bottom[0].data]
            for k in range(bottom[0].count()):
                bottom[0].diff[k] *= top[0].diff[k]


class Power(Layer):
    def forward(self, bottom, top):
        p = self.param.power_param
        for k in range(bottom[0].count()):
            if p.power * p.scale == 0:
                top[0].data[k] = 1.0 if p.power == 0 else p.shift**p.power
            else:
                top[0].data[k] = (p.scale * bottom[0].data[k] + p.shift) ** p.power

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        p, x, y, dx = self.param.power_param, bottom[0].data, top[0].data, bottom[0].diff
        for k in range(bottom[0].count()):
            factor = p.power * p.scale
            if factor == 0 or p.power == 1:
                dx[k] = factor
            elif p.power == 2:
                dx[k] = factor * p.scale * x[k] + factor * p.shift
            elif p.shift == 0:
                dx[k] = y[k] / x[k] * p.power
            else:
                dx[k] = y[k] / (p.scale * x[k] + p.shift) * factor
        if p.power * p.scale != 0:
            for k in range(bottom[0].count()):
                dx[k] *= top[0].diff[k]


class Softmax(Layer):
    def reshape(self, bottom, top):
        self.at = bottom[0].axis(self.param.softmax_param.axis)
        top[0].reshape(bottom[0].shape)
        self.sizes = bottom[0].count(0, self.at), bottom[0].shape[self.at], bottom[0].count(self.at + 1)

    def forward(self, bottom, top):
        softmax(bottom[0].data, top[0].data, *self.sizes)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        outer, classes, inner = self.sizes
        for i in range(outer):
            for j in range(inner):
                places = [(i * classes + c) * inner + j for c in range(classes)]
                dot = sum(top[0].diff[k] * top[0].data[k] for k in places)
                for k in places:
                    bottom[0].diff[k] = (top[0].diff[k] - dot) * top[0].data[k]


class InnerProduct(Layer):
    def setup(self, bottom, top):
        p = self.param.inner_product_param
        self.at = bottom[0].axis(p.axis)
        self.n, self.k = p.num_output, bottom[0].count(self.at)
        weight = (self.k, self.n) if p.transpose else (self.n, self.k)
        self.learn(weight, *([(self.n,)] if p.bias_term else []))

    def reshape(self, bottom, top):
        if bottom[0].count(self.at) != self.k:
            raise Refused("setup")
        self.m = bottom[0].count(0, self.at)
        top[0].reshape([*bottom[0].shape[: self.at], self.n])

    def weight_at(self, n, k):
        return k * self.n + n if self.param.inner_product_param.transpose else n * self.k + k

    def forward(self, bottom, top):
        for m in range(self.m):
            for n in range(self.n):
                y = self.blobs[1].data[n] if len(self.blobs) > 1 else 0.0
                for k in range(self.k):
                    y += bottom[0].data[m * self.k + k] * self.blobs[0].data[self.weight_at(n, k)]
                top[0].data[m * self.n + n] = y

    def backward(self, top, propagate_down, bottom):
        for m in range(self.m):
            for n in range(self.n):
                dy = top[0].diff[m * self.n + n]
                if len(self.blobs) > 1 and self.ask[1]:
                    self.blobs[1].diff[n] += dy
                for k in range(self.k) if self.ask[0] else ():
                    self.blobs[0].diff[self.weight_at(n, k)] += dy * bottom[0].data[m * self.k + k]
        if propagate_down[0]:
            for m in range(self.m):
                for k in range(self.k):
                    bottom[0].diff[m * self.k + k] = sum(
                        top[0].diff[m * self.n + n] * self.blobs[0].data[self.weight_at(n, k)] for n in range(self.n)
                    )


def spanned(first, at, axes):
    return first.shape[at:] if axes == -1 else first.shape[at : at + axes]


class Bias(Layer):
    bottoms = (1, 2)

    def options(self):
        p = self.param.bias_param
        return p.axis, p.num_axes

    def setup(self, bottom, top):
        if len(bottom) == 1:
            axis, axes = self.options()
            at = bottom[0].axis(axis)
            if axes != -1 and at + axes > len(bottom[0].shape):
                raise Refused("setup")
            self.learn(spanned(bottom[0], at, axes))

    def reshape(self, bottom, top):
        bias = bottom[1] if len(bottom) > 1 else self.blobs[0]
        at = 0 if not bias.shape else bottom[0].axis(self.options()[0])
        if bottom[0].shape[at : at + len(bias.shape)] != bias.shape:
            raise Refused("setup")
        self.outer, self.dim = bottom[0].count(0, at), bias.count()
        self.inner = bottom[0].count(at + len(bias.shape))
        if bottom[0] is not top[0]:
            top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        bias = bottom[1] if len(bottom) > 1 else self.blobs[0]
        for k in range(bottom[0].count()):
            top[0].data[k] = bottom[0].data[k] + bias.data[k // self.inner % self.dim]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].diff[:] = top[0].diff
        learnt = len(bottom) == 1
        if self.ask[0] if learnt else propagate_down[1]:
            bias = self.blobs[0] if learnt else bottom[1]
            if not learnt:
                bias.diff[:] = 0.0
            for k in range(top[0].count()):
                bias.diff[k // self.inner % self.dim] += top[0].diff[k]


class Scale(Layer):
    bottoms = (1, 2)

    def setup(self, bottom, top):
        p = self.param.scale_param
        shapes = []
        if len(bottom) == 1:
            at = bottom[0].axis(p.axis)
            if p.num_axes != -1 and at + p.num_axes > len(bottom[0].shape):
                raise Refused("setup")
            shapes.append(spanned(bottom[0], at, p.num_axes))
        if p.bias_term:
            shapes.append(
                spanned(bottom[0], bottom[0].axis(p.axis), len(bottom[-1].shape) if len(bottom) > 1 else p.num_axes)
            )
        self.learn(*shapes)
        if len(bottom) == 1:
            self.blobs[0].data[:] = 1.0
        self.kept = Blob()

    def reshape(self, bottom, top):
        scale = bottom[1] if len(bottom) > 1 else self.blobs[0]
        at = 0 if not scale.shape else bottom[0].axis(self.param.scale_param.axis)
        if bottom[0].shape[at : at + len(scale.shape)] != scale.shape:
            raise Refused("setup")
        if self.param.scale_param.bias_term and self.blobs[-1].shape != scale.shape:
            raise Refused("setup")
        self.outer, self.dim = bottom[0].count(0, at), scale.count()
        self.inner = bottom[0].count(at + len(scale.shape))
        if bottom[0] is top[0]:
            self.kept.reshape(bottom[0].shape)
        else:
            top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        scale = bottom[1] if len(bottom) > 1 else self.blobs[0]
        if bottom[0] is top[0]:
            self.kept.data[:] = bottom[0].data
        for k in range(bottom[0].count()):
            top[0].data[k] = bottom[0].data[k] * scale.data[k // self.inner % self.dim]
        if self.param.scale_param.bias_term:
            for k in range(bottom[0].count()):
                top[0].data[k] += self.blobs[-1].data[k // self.inner % self.dim]

    def backward(self, top, propagate_down, bottom):
        if self.param.scale_param.bias_term and self.ask[-1]:
            for k in range(top[0].count()):
                self.blobs[-1].diff[k // self.inner % self.dim] += top[0].diff[k]
        learnt = len(bottom) == 1
        scale = self.blobs[0] if learnt else bottom[1]
        if self.ask[0] if learnt else propagate_down[1]:
            self.scale_gradient(top[0], bottom[0], scale, learnt)
        if propagate_down[0]:
            for k in range(bottom[0].count()):
                bottom[0].diff[k] = top[0].diff[k] * scale.data[k // self.inner % self.dim]

    def scale_gradient(self, top, bottom, scale, learnt):
        """Products, sums over what lies inside, sums over what lies outside; each in the buffer that Caffe puts it
        in."""
        in_place = top is bottom
        x = self.kept.data if in_place else bottom.data
        whole = bottom.count() == scale.count()
        products = scale.diff if whole else self.kept.data if in_place else bottom.diff
        products[:] = [dy * each for dy, each in zip(top.diff, x, strict=True)]
        if whole:
            return
        if self.inner == 1:
            sums = products
        elif self.outer * self.dim == 1:
            scale.diff[0] = sum(products) + (scale.diff[0] if learnt else 0.0)
            return
        else:
            sums = scale.diff if self.outer == 1 else np.zeros(self.outer * self.dim)
            sums[:] = [sum(products[r * self.inner : (r + 1) * self.inner]) for r in range(self.outer * self.dim)]
        if self.outer != 1:
            for d in range(self.dim):
                total = sum(sums[n * self.dim + d] for n in range(self.outer))
                scale.diff[d] = total + (scale.diff[d] if learnt else 0.0)


class Eltwise(Layer):
    bottoms = (2, None)

    def setup(self, bottom, top):
        p = self.param.eltwise_param
        if p.coeff and (len(p.coeff) != len(bottom) or p.operation == "PROD"):
            raise Refused("setup")
        self.coeff = list(p.coeff) or [1.0] * len(bottom)

    def reshape(self, bottom, top):
        if any(blob.shape != bottom[0].shape for blob in bottom):
            raise Refused("setup")
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        kind = self.param.eltwise_param.operation
        self.taken = [0] * bottom[0].count()
        for k in range(bottom[0].count()):
            values = [blob.data[k] for blob in bottom]
            if kind == "SUM":
                top[0].data[k] = sum(c * v for c, v in zip(self.coeff, values, strict=True))
            elif kind == "PROD":
                product = 1.0
                for v in values:
                    product *= v
                top[0].data[k] = product
            else:
                best = 0 if values[0] > values[1] else 1
                for i in range(2, len(values)):
                    best = i if values[i] > values[best] else best
                self.taken[k], top[0].data[k] = best, values[best]

    def backward(self, top, propagate_down, bottom):
        p = self.param.eltwise_param
        for i, blob in enumerate(bottom):
            for k in range(blob.count()) if propagate_down[i] else ():
                if p.operation == "SUM":
                    factor = self.coeff[i]
                elif p.operation == "MAX":
                    factor = 1.0 if self.taken[k] == i else 0.0
                elif p.stable_prod_grad:
                    factor = 1.0
                    for j, other in enumerate(bottom):
                        factor *= other.data[k] if j != i else 1.0
                else:
                    factor = top[0].data[k] / blob.data[k]
                blob.diff[k] = factor * top[0].diff[k]


class Concat(Layer):
    bottoms = (1, None)

    def reshape(self, bottom, top):
        self.at = bottom[0].axis(self.param.concat_param.axis)
        for blob in bottom[1:]:
            if len(blob.shape) != len(bottom[0].shape):
                raise Refused("setup")
            if any(m != n for a, (m, n) in enumerate(zip(blob.shape, bottom[0].shape, strict=True)) if a != self.at):
                raise Refused("setup")
        shape = list(bottom[0].shape)
        shape[self.at] = sum(blob.shape[self.at] for blob in bottom)
        top[0].reshape(shape)
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def copies(self, parts, whole):
        """Pairs of places: in a part, and in the whole."""
        outer, inner = whole.count(0, self.at), whole.count(self.at + 1)
        start = 0
        for part in parts:
            size = part.shape[self.at]
            yield (
                part,
                [
                    ((o * size + c) * inner + i, (o * whole.shape[self.at] + start + c) * inner + i)
                    for o in range(outer)
                    for c in range(size)
                    for i in range(inner)
                ],
            )
            start += size

    def forward(self, bottom, top):
        for blob, places in self.copies(bottom, top[0]) if len(bottom) > 1 else ():
            for here, there in places:
                top[0].data[there] = blob.data[here]

    def backward(self, top, propagate_down, bottom):
        parts = self.copies(bottom, top[0]) if len(bottom) > 1 else ()
        for asked, (blob, places) in zip(propagate_down, parts, strict=False):
            for here, there in places if asked else ():
                blob.diff[here] = top[0].diff[there]


class Slice(Concat):
    bottoms = 1
    tops = (1, None)

    def reshape(self, bottom, top):
        p = self.param.slice_param
        self.at = bottom[0].axis(p.axis)
        size = bottom[0].shape[self.at]
        if p.slice_point:
            ends = [*p.slice_point, size]
            if len(ends) != len(top):
                raise Refused("setup")
        elif size % len(top):
            raise Refused("setup")
        else:
            ends = [size // len(top) * (i + 1) for i in range(len(top))]
        start = 0
        for blob, end in zip(top, ends, strict=True):
            if end <= start:
                raise Refused("setup")
            shape = list(bottom[0].shape)
            shape[self.at] = end - start
            blob.reshape(shape)
            start = end
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def forward(self, bottom, top):
        for blob, places in self.copies(top, bottom[0]) if len(top) > 1 else ():
            for here, there in places:
                blob.data[here] = bottom[0].data[there]

    def backward(self, top, propagate_down, bottom):
        for blob, places in self.copies(top, bottom[0]) if len(top) > 1 and propagate_down[0] else ():
            for here, there in places:
                bottom[0].diff[there] = blob.diff[here]


class Flatten(Layer):
    def reshape(self, bottom, top):
        p = self.param.flatten_param
        first, last = bottom[0].axis(p.axis), bottom[0].axis(p.end_axis)
        shape = bottom[0].shape
        top[0].reshape([*shape[:first], bottom[0].count(first, last + 1), *shape[last + 1 :]])

    def forward(self, bottom, top):
        top[0].share_data(bottom[0])

    def backward(self, top, propagate_down, bottom):
        bottom[0].share_diff(top[0])


class Reshape(Layer):
    def reshape(self, bottom, top):
        dims, count, shape = list(self.param.reshape_param.shape.dim), bottom[0].count(), bottom[0].shape
        dims = [shape[a] if n == 0 else n for a, n in enumerate(dims)]
        if -1 in dims:
            known = 1
            for n in dims:
                known *= n if n != -1 else 1
            if count % known:
                raise Refused("setup")
            dims[dims.index(-1)] = count // known
        if int(np.prod(dims)) != count:
            raise Refused("setup")
        top[0].reshape(dims)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        pass


class Reduction(Layer):
    def reshape(self, bottom, top):
        self.at = bottom[0].axis(self.param.reduction_param.axis)
        top[0].reshape(bottom[0].shape[: self.at])
        self.num, self.dim = bottom[0].count(0, self.at), bottom[0].count(self.at)

    def coefficient(self):
        p = self.param.reduction_param
        return p.coeff / self.dim if p.operation == "MEAN" else p.coeff

    def forward(self, bottom, top):
        kind = self.param.reduction_param.operation
        for i in range(self.num):
            row = bottom[0].data[i * self.dim : (i + 1) * self.dim]
            terms = [abs(x) if kind == "ASUM" else x * x if kind == "SUMSQ" else x for x in row]
            top[0].data[i] = sum(terms) * self.coefficient()

    def backward(self, top, propagate_down, bottom):
        kind = self.param.reduction_param.operation
        for k in range(bottom[0].count()) if propagate_down[0] else ():
            x = bottom[0].data[k]
            slope = float(np.sign(x)) if kind == "ASUM" else 2 * x if kind == "SUMSQ" else 1.0
            bottom[0].diff[k] = top[0].diff[k // self.dim] * self.coefficient() * slope


class Accuracy(Layer):
    bottoms = 2
    tops = (1, 2)

    def reshape(self, bottom, top):
        self.at = bottom[0].axis(self.param.accuracy_param.axis)
        self.classes = bottom[0].shape[self.at]
        self.outer, self.inner = bottom[0].count(0, self.at), bottom[0].count(self.at + 1)
        if self.outer * self.inner != bottom[1].count():
            raise Refused("setup")
        if self.param.accuracy_param.top_k > bottom[0].count() // bottom[1].count():
            raise Refused("setup")
        top[0].reshape([])
        if len(top) > 1:
            top[1].reshape([self.classes])

    def forward(self, bottom, top):
        p = self.param.accuracy_param
        right, seen, of_class, right_of_class = 0, 0, [0] * self.classes, [0] * self.classes
        for i in range(self.outer):
            for j in range(self.inner):
                label = int(bottom[1].data[i * self.inner + j])
                if p.has("ignore_label") and label == p.ignore_label:
                    continue
                scores = [bottom[0].data[(i * self.classes + c) * self.inner + j] for c in range(self.classes)]
                better = sum(s >= scores[label] for s in scores) - 1  # ties count against the label
                of_class[label] += 1
                seen += 1
                if better < p.top_k:
                    right += 1
                    right_of_class[label] += 1
        top[0].data[0] = right / seen if seen else 0.0
        for c in range(self.classes) if len(top) > 1 else ():
            top[1].data[c] = right_of_class[c] / of_class[c] if of_class[c] else 0.0

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            raise Refused("backward")


class Parameter(Layer):
    bottoms = 0

    def setup(self, bottom, top):
        self.learn(self.param.parameter_param.shape.dim)
        top[0].reshape(self.param.parameter_param.shape.dim)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].share_data(self.blobs[0])
        top[0].share_diff(self.blobs[0])

    def backward(self, top, propagate_down, bottom):
        pass


LAYERS = {found.__name__: found for found in [*Layer.__subclasses__(), *Pointwise.__subclasses__(), Slice]}
del LAYERS["Pointwise"]
