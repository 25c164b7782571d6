"""Ten right losses that Caffe does not have, and five ways to get the gradient of each wrong."""

import caffe
import numpy as np


class Own(caffe.Layer):
    targets = True

    def setup(self, bottom, top):
        if len(bottom) != 2 or (bottom[0].count != bottom[1].count) == self.targets:
            raise Exception("scores and targets are needed")

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.loss, self.slope = self.both(bottom[0].data, bottom[1].data)
        top[0].data[...] = self.loss

    def backward(self, top, propagate_down, bottom):
        slopes = self.slope if isinstance(self.slope, tuple) else (self.slope, -self.slope)
        for i, wanted in enumerate(propagate_down):
            if wanted:
                bottom[i].diff[...] = self.mistake(top[0].diff.ravel()[0] * slopes[i], top[0].diff.ravel()[0])

    def mistake(self, gradient, weight):
        return {
            "sign": -gradient,
            "twice": 2 * gradient,
            "large": 1.05 * gradient,
            "weightless": gradient / weight,
            "element": self.one(gradient),
        }.get(self.param_str, gradient)

    @staticmethod
    def one(gradient):
        wrong = gradient.copy()
        wrong.flat[gradient.size // 2] += 0.1 * np.abs(gradient).max()
        return wrong


class LogCosh(Own):
    def both(self, x, t):
        d = x - t
        return np.sum(np.log(np.cosh(d))) / len(x), np.tanh(d) / len(x)


class Absolute(Own):
    def both(self, x, t):
        d = x - t
        return np.sum(np.abs(d)) / len(x), np.sign(d) / len(x)


class Huber(Own):
    def both(self, x, t):
        d = x - t
        inside = np.abs(d) < 1
        return np.sum(np.where(inside, d * d / 2, np.abs(d) - 0.5)) / len(x), np.where(inside, d, np.sign(d)) / len(x)


class Cauchy(Own):
    def both(self, x, t):
        d = x - t
        return np.sum(np.log1p(d * d)), 2 * d / (1 + d * d)


class Cosine(Own):
    def both(self, x, t):
        n, m = np.linalg.norm(x, axis=1, keepdims=True), np.linalg.norm(t, axis=1, keepdims=True)
        c = (x * t).sum(1, keepdims=True) / (n * m)
        return np.mean(1 - c), ((c * x / n - t / m) / n / len(x), (c * t / m - x / n) / m / len(x))


class Quantile(Own):
    def both(self, x, t):
        d = t - x
        return np.mean(np.where(d > 0, 0.9 * d, -0.1 * d)), np.where(d > 0, -0.9, 0.1) / d.size


class Poisson(Own):
    def both(self, x, t):
        return np.mean(np.exp(x) - t * x), ((np.exp(x) - t) / x.size, -x / x.size)


class Labelled(Own):
    targets = False

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise Exception("labels take no gradient")
        bottom[0].diff[...] = self.mistake(top[0].diff.ravel()[0] * self.slope, top[0].diff.ravel()[0])

    def hot(self, x, t):
        return np.arange(x.shape[1]) == t.astype(int).reshape(-1, 1)


class Focal(Labelled):
    def both(self, x, t):
        hot = self.hot(x, t)
        p = np.exp(x - x.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        q = p[hot].reshape(-1, 1)
        slope = 2 * (1 - q) * np.log(q) - (1 - q) ** 2 / q
        return -np.mean((1 - q) ** 2 * np.log(q)), slope * q * (hot - p) / len(x)


class Smoothed(Labelled):
    def both(self, x, t):
        y = 0.9 * self.hot(x, t) + 0.1 / x.shape[1]
        p = np.exp(x - x.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return -np.sum(y * np.log(p)) / len(x), (p - y) / len(x)


class MultiMargin(Labelled):
    def both(self, x, t):
        hot = self.hot(x, t)
        room = np.where(hot, 0.0, np.maximum(0, 1 + x - x[hot].reshape(-1, 1)))
        slope = (room > 0) * 1.0 - hot * (room > 0).sum(1, keepdims=True)
        return room.sum() / len(x), slope / len(x)


RIGHT = [LogCosh, Absolute, Huber, Cauchy, Cosine, Quantile, Poisson, Focal, Smoothed, MultiMargin]
