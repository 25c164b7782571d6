# ruff: noqa: RUF012
"""Python layers of every published meaning of SmoothL1Loss, FocalLoss and TripletLoss, named after its form.

Each is written from what its source computes, with no more checks than the counts and shapes that it needs; options
come as JSON in param_str, and one that a fork does not have is refused, as its parser would.
"""

import json

import caffe
import numpy as np

FLT_MIN = np.finfo(np.float32).tiny
NORMALISATION = {"ignore_label": None, "normalization": None, "normalize": None}


def normalization(own, default):
    """``normalization`` where it is given, else what ``normalize`` says."""
    given = own["normalization"]
    if given is None and own["normalize"] is not None:
        return "VALID" if own["normalize"] else "BATCH_SIZE"
    return given or default


class Form(caffe.Layer):
    """A loss of a batch: ``counts`` of bottoms, ``options`` with their defaults by block, the top a scalar."""

    counts = (2,)
    tops = 1
    options = {}

    def setup(self, bottom, top):
        if len(bottom) not in self.counts or len(top) > self.tops:
            raise Exception(f"{len(bottom)} bottoms and {len(top)} tops")
        given = json.loads(self.param_str or "{}")
        for block in {*given, *self.options} - {"loss_param"}:
            for name in given.get(block, {}):
                if name not in self.options.get(block, {}):
                    raise Exception(f"no field {name} in {block}")
        self.own = {
            name: given.get(block, {}).get(name, default)
            for block, fields in self.options.items()
            for name, default in fields.items()
        }

    def reshape(self, bottom, top):
        for i in range(len(bottom)):
            if bottom[i].count != bottom[0].count:
                raise Exception("bottoms differ in size")
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[...] = self.loss(bottom)

    def backward(self, top, propagate_down, bottom):
        for i, gradient in enumerate(self.slopes(bottom, top[0].diff)):
            if propagate_down[i] and gradient is not None:
                bottom[i].diff[...] = np.reshape(gradient, bottom[i].diff.shape)


class SmoothL1(Form):
    """Weights inside the difference in bottom 2, outside in bottom 3."""

    options = {"smooth_l1_loss_param": {"sigma": 1.0}}
    forgets = False

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if bottom[0].num != bottom[1].num:
            raise Exception("batches differ")
        if len(bottom[0].shape) > 4:
            raise Exception("more than four axes")

    @property
    def s(self):
        return np.float32(self.own.get("sigma", 1.0)) ** 2

    def weight(self, bottom, place):
        return bottom[place].data.reshape(bottom[0].data.shape) if len(bottom) > place else 1

    def inside(self, bottom):
        return self.weight(bottom, 2)

    def outside(self, bottom):
        return self.weight(bottom, 3)

    def value(self, v):
        size = np.abs(v)
        return np.where(size < 1 / self.s, 0.5 * v * v * self.s, size - 0.5 / self.s)

    def slope(self, v):
        return np.where(np.abs(v) < 1 / self.s, self.s * v, np.sign(v))

    def total(self, errors):
        return errors.sum()

    def divisor(self, bottom):
        return bottom[0].num

    gradient_divisor = divisor

    def loss(self, bottom):
        self.v = self.inside(bottom) * (bottom[0].data - bottom[1].data.reshape(bottom[0].data.shape))
        return self.total(self.outside(bottom) * self.value(self.v)) / self.divisor(bottom)

    def slopes(self, bottom, w):
        factor = self.outside(bottom) * (1 if self.forgets else self.inside(bottom))
        gradient = w * factor * self.slope(self.v) / self.gradient_divisor(bottom)
        return gradient, -gradient


class Girshick(SmoothL1):
    counts = (2, 4)


class Cascade(Girshick):
    """Its second top holds what each position loses, added over the channels."""

    tops = 2

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if len(top) > 1:
            shape = [*bottom[0].shape, 1, 1][:4]
            top[1].reshape(shape[0], 1, *shape[2:])

    def forward(self, bottom, top):
        super().forward(bottom, top)
        if len(top) > 1:
            errors = self.outside(bottom) * self.value(self.v)
            top[1].data[...] = errors.reshape(errors.shape[0], errors.shape[1], -1).sum(1).reshape(top[1].data.shape)


class Unchecked(Girshick):
    """Takes any number of bottoms, and options that it does not know."""

    def setup(self, bottom, top):
        given = json.loads(self.param_str or "{}")
        self.own = {"sigma": given.get("smooth_l1_loss_param", {}).get("sigma", 1.0)}


class Ssd(SmoothL1):
    options = {}
    forgets = True


class SsdThreeBottoms(Ssd):
    counts = (2, 3)


class Jolibrain(SmoothL1):
    """On the CPU: the outside weight is not read."""

    counts = (2, 4)
    forgets = True

    def outside(self, bottom):
        return 1


class Synopsys(SmoothL1):
    counts = (2, 3, 4)
    options = {"smooth_l1_loss_param": {"sigma": 1.0, "abssum": True}}

    @property
    def forgets(self):
        return self.own["abssum"]

    def total(self, errors):
        return np.abs(errors).sum() if self.own["abssum"] else errors.sum()


class Rfcn(Cascade):
    counts = (2, 3)
    options = {"loss_param": {**NORMALISATION, "pre_fixed_normalizer": 1.0}}
    forgets = True

    def divisor(self, bottom):
        positions = bottom[0].count // bottom[0].channels
        known = {"VALID": positions, "FULL": positions, "BATCH_SIZE": bottom[0].num, "NONE": 1}
        return max(1.0, known.get(normalization(self.own, "VALID"), self.own["pre_fixed_normalizer"]))

    gradient_divisor = divisor


class CaffeMex(Rfcn):
    """With weights forward and backward divide by two numbers, and little weight leaves the diffs as they were."""

    def divisor(self, bottom):
        if len(bottom) > 2:
            return np.abs(bottom[2].data).sum() / bottom[0].num + 1e-6
        return self.gradient_divisor(bottom) + 1e-6

    def gradient_divisor(self, bottom):
        valid = normalization(self.own, "VALID") == "VALID"
        if len(bottom) > 2 and valid:
            return max(1.0, np.abs(bottom[2].data).sum())
        if valid:
            raise Exception("there are no weights to count")
        divisor = Rfcn.divisor(self, bottom)
        return divisor if len(bottom) > 2 else divisor + 1e-6

    def slopes(self, bottom, w):
        if len(bottom) > 2 and np.abs(bottom[2].data).sum() < 1:
            return ()
        return super().slopes(bottom, w)


class Happynear(SmoothL1):
    counts = (2, 3)
    options = {"smoothl1_param": {"turn_point": 1.0}}
    forgets = True

    def value(self, v):
        size, turn = np.abs(v), self.own["turn_point"]
        return np.where(size < turn, 0.5 * v * v, size - turn + 0.5 * turn * turn)

    def slope(self, v):
        return np.where(np.abs(v) < self.own["turn_point"], v, np.sign(v))


class Deepcut(SmoothL1):
    counts = (3,)
    options = {}
    forgets = True

    def samples(self, bottom):
        return int(np.abs(bottom[2].data).sum())

    def forward(self, bottom, top):
        loss = self.loss(bottom)
        if self.samples(bottom):
            top[0].data[...] = loss

    def divisor(self, bottom):
        return max(1, self.samples(bottom))

    def gradient_divisor(self, bottom):
        return max(100, self.samples(bottom))


class Yuqj1991(SmoothL1):
    counts = (2, 3)
    options = {}

    def inside(self, bottom):
        return 1

    def outside(self, bottom):
        return self.weight(bottom, 2)

    def total(self, errors):
        return np.abs(errors).sum()


class OfScores(Form):
    """Scores and what answers them; ``loss_param`` as BVLC's losses read it."""

    unless_given = "VALID"

    def divisor(self, positions, items, counted):
        known = {"FULL": positions, "VALID": counted.sum(), "BATCH_SIZE": items, "NONE": 1}
        return max(1, known[normalization(self.own, self.unless_given)])


class OfSoftmax(OfScores):
    """-weight power(p) log p of the label's probability, over the normaliser; classes on axis 1."""

    tops = 2

    options = {"focal_loss_param": {"alpha": 0.25, "gamma": 2.0}, "loss_param": NORMALISATION}

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if bottom[1].count * shape[1] != bottom[0].count:
            raise Exception("one label for each position is needed")
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*shape)

    def forward(self, bottom, top):
        super().forward(bottom, top)
        if len(top) > 1:
            top[1].data[...] = self.probabilities

    def weight(self, labels):
        return self.own["alpha"]

    def power(self, p):
        return (1 - p) ** self.own["gamma"]

    def slope_of_power(self, p):
        """p times the derivative of `power`."""
        gamma = self.own["gamma"]
        return -gamma * p * (1 - p) ** (gamma - 1) if gamma else 0 * p

    def loss(self, bottom):
        x = bottom[0].data
        exponentials = np.exp(x - x.max(1, keepdims=True))
        self.probabilities = exponentials / exponentials.sum(1, keepdims=True)
        labels = bottom[1].data.astype(int).reshape(x.shape[0], 1, *x.shape[2:])
        ignored = self.own["ignore_label"]
        self.counted = labels != ignored if ignored is not None else np.ones(labels.shape, bool)
        if ((labels < 0) | (labels >= x.shape[1]))[self.counted].any():
            raise Exception("a label is no class")
        self.labels = np.where(self.counted, labels, 0)
        self.p = np.take_along_axis(self.probabilities, self.labels, 1)
        self.log = np.log(np.maximum(self.p, FLT_MIN))
        self.z = self.divisor(labels.size, x.shape[0], self.counted)
        return -np.where(self.counted, self.weight(self.labels) * self.power(self.p) * self.log, 0).sum() / self.z

    def slopes(self, bottom, w):
        hot = np.arange(bottom[0].shape[1]).reshape(1, -1, *[1] * (len(bottom[0].shape) - 2)) == self.labels
        gradient = (self.power(self.p) + self.slope_of_power(self.p) * self.log) * (self.probabilities - hot)
        return (np.where(self.counted, w * self.weight(self.labels) * gradient / self.z, 0),)


class F1(OfSoftmax):
    """The label's class by a formula of its own: for the others a gamma below 1 divides by 0 where p is 1."""

    def slopes(self, bottom, w):
        (gradient,) = super().slopes(bottom, w)
        own = self.power(self.p) * (self.own["gamma"] * self.p * self.log + self.p - 1)
        own = np.where(self.counted, w * self.own["alpha"] * own / self.z, 0)
        np.put_along_axis(gradient, self.labels, own, 1)
        return (gradient,)


class F2(OfSoftmax):
    """What the power is divided by stays 1e-10 or more; LINEAR is parsed and computes nothing else."""

    options = {
        "focal_loss_param": {"type": "ORIGIN", "alpha": 0.25, "gamma": 2.0, "beta": 1.0},
        "loss_param": NORMALISATION,
    }

    def slope_of_power(self, p):
        return -self.own["gamma"] * p * self.power(p) / np.maximum(1 - p, 1e-10)


class F3(F2):
    """alpha stands in the power."""

    options = {
        "focal_loss_param": {"type": "ORIGIN", "alpha": 1.0, "gamma": 2.0, "beta": 1.0},
        "loss_param": NORMALISATION,
    }

    def weight(self, labels):
        return 1

    def sign(self):
        return 1 if self.own["type"] == "ONEADDP" else -1

    def power(self, p):
        return (self.own["alpha"] + self.sign() * p) ** self.own["gamma"]

    def slope_of_power(self, p):
        divided = np.maximum(1 + self.sign() * p, 1e-10)
        return self.sign() * self.own["gamma"] * p * self.power(p) / divided


class F5(OfSoftmax):
    """An alpha for every class, and 1e-6 beside 1 - p."""

    options = {
        "focal_loss_param": {"alpha": (), "gamma": 2.0, "alpha_balance": False},
        "loss_param": NORMALISATION,
    }

    def weight(self, labels):
        return np.asarray(self.own["alpha"])[labels] if self.own["alpha_balance"] else 1

    def power(self, p):
        return (1 + 1e-6 - p) ** self.own["gamma"]

    def slope_of_power(self, p):
        gamma = self.own["gamma"]
        return -gamma * p * (1 + 1e-6 - p) ** (gamma - 1)


class OfSigmoid(OfScores):
    """Scores and targets of 0 and 1."""

    unless_given = "BATCH_SIZE"

    options = {
        "focal_loss_param": {"alpha": 0.25, "gamma": 2.0},
        "loss_param": NORMALISATION,
    }

    def loss(self, bottom):
        x, t = self.x, self.t = bottom[0].data, bottom[1].data.reshape(bottom[0].data.shape)
        if bottom[0].shape[0] != bottom[1].shape[0]:
            raise Exception("batches differ")
        z = np.exp(-np.abs(x))
        self.s = np.where(x >= 0, 1, z) / (1 + z)
        self.entropy = np.log1p(z) + np.maximum(x, 0) - x * t
        ignored = self.own["ignore_label"]
        self.counted = t != ignored if ignored is not None else np.ones(t.shape, bool)
        return self.of_entropy(bottom)


class F4(OfSigmoid):
    """On the CPU: a sigmoid cross entropy over the batch size; an ignored entry sets the running sum to 0."""

    def of_entropy(self, bottom):
        total = 0.0
        for counted, each in zip(self.counted.ravel(), self.entropy.ravel(), strict=True):
            total = total + each if counted else 0.0
        return total / bottom[0].num

    def slopes(self, bottom, w):
        return (w * (self.s - self.t) / bottom[0].num,)


class F4Gpu(OfSigmoid):
    def of_entropy(self, bottom):
        self.z = self.divisor(bottom[0].count, bottom[0].num, self.counted)
        one = self.t.astype(int) == 1
        self.rest, self.turn = np.where(one, 1 - self.s, self.s), np.where(one, -1, 1)
        self.share = self.of_alpha(one, self.own["alpha"])
        losses = self.share * self.rest ** self.own["gamma"] * self.entropy
        return np.where(self.counted, losses, 0).sum() / self.z

    def of_alpha(self, one, alpha):
        return np.where(one, alpha, 1 - alpha)

    def slopes(self, bottom, w):
        gamma = self.own["gamma"]
        slope = self.rest**gamma * (self.s - self.t)
        slope = slope + gamma * self.rest ** (gamma - 1) * self.entropy * self.turn * self.s * (1 - self.s)
        return (np.where(self.counted, w * self.share * slope / self.z, 0),)


class F4GpuOneAlpha(F4Gpu):
    def of_alpha(self, one, alpha):
        return alpha


class F6(OfSigmoid):
    """Weighed by the share of the other side in the batch; not divided."""

    def loss(self, bottom):
        self.own["ignore_label"] = None
        return super().loss(bottom)

    def of_entropy(self, bottom):
        one = self.t.astype(int) == 1
        share = 1 - one.mean()
        self.weights, self.side = np.where(one, share, 1 - share), np.where(one, 1, -1)
        self.p = np.where(one, self.s, 1 - self.s)
        self.log = np.log(np.maximum(self.p, FLT_MIN))
        return -(self.weights * (1 - self.p) ** self.own["gamma"] * self.log).sum()

    def slopes(self, bottom, w):
        gamma = self.own["gamma"]
        slope = (1 - self.p) ** gamma * (gamma * self.p * self.log + self.p - 1)
        return (w * self.weights * self.side * slope,)


class OfTriplets(Form):
    """``rows`` are the triplets, as (T, 3); ``halves`` what T is multiplied by in the divisor."""

    halves = 2
    options = {"triplet_loss_param": {"margin": 1.0}}

    def triplets(self, bottom):
        """Anchors, positives and negatives, and for each the array of its rows."""
        x = bottom[0].data.reshape(bottom[0].shape[0], -1)
        self.rows = np.array(self.rows_of(bottom))
        return [x[self.rows[:, i]] for i in range(3)]

    def active(self, v):
        return v > 0

    def weights(self, bottom):
        return 1.0

    def loss(self, bottom):
        a, p, n = self.triplets(bottom)
        self.v = self.margin() + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
        self.pulls = (n - p, p - a, a - n)
        return (self.weights(bottom) * np.maximum(self.v, 0)).sum() / (self.halves * len(a))

    def margin(self):
        return self.own["margin"]

    def scaled(self, bottom, w):
        scale = 2 / self.halves / len(self.v) * w * self.weights(bottom) * self.active(self.v)
        return [pull * scale[:, np.newaxis] for pull in self.pulls]

    def slopes(self, bottom, w):
        gradient = np.zeros((bottom[0].shape[0], self.pulls[0].shape[1]), self.pulls[0].dtype)
        for i, each in enumerate(self.scaled(bottom, w)):
            np.add.at(gradient, self.rows[:, i], each)
        return (gradient,)


class OfThree(OfTriplets):
    """Anchors, positives and negatives in three bottoms."""

    counts = (3,)
    flat = False

    def reshape(self, bottom, top):
        for i in range(3):
            if (bottom[i].shape[0], bottom[i].count) != (bottom[0].shape[0], bottom[0].count):
                raise Exception("triplets differ")
            if self.flat and (bottom[i].height, bottom[i].width) != (1, 1):
                raise Exception("height and width are not 1")
        top[0].reshape()

    def triplets(self, bottom):
        return [bottom[i].data.reshape(bottom[i].shape[0], -1) for i in range(3)]

    def slopes(self, bottom, w):
        return self.scaled(bottom, w)


class T1(OfThree):
    flat = True

    def active(self, v):
        return v >= 1e-9


class T2(OfThree):
    pass


class T3(OfThree):
    """A weight for each triplet in the fourth bottom."""

    counts = (3, 4)
    flat = True

    def weights(self, bottom):
        return bottom[3].data.ravel() if len(bottom) > 3 else np.ones(bottom[0].shape[0])


class T4(OfTriplets):
    """The batch starts with one class; all its pairs, each with every sample of another."""

    halves = 1

    def reshape(self, bottom, top):
        if bottom[1].count < bottom[0].num:
            raise Exception("a label for each sample is needed")
        top[0].reshape()

    def rows_of(self, bottom):
        labels = bottom[1].data.astype(int).ravel()
        end = int(np.argmax(labels != labels[0]))
        return [(a, p, n) for a in range(end) for p in range(a + 1, end) for n in range(end, bottom[0].num)]


class T5(OfTriplets):
    """Groups of a reference, a positive, a negative, and others that take no part."""

    counts = (1, 2, 3)
    options = {"triplet_loss_param": {"margin": 1.0, "num_triplets": 3}}

    def reshape(self, bottom, top):
        if bottom[0].num % self.own["num_triplets"]:
            raise Exception("the batch does not fall into groups")
        top[0].reshape()

    def rows_of(self, bottom):
        return [(i, i + 1, i + 2) for i in range(0, bottom[0].num, self.own["num_triplets"])]


class T6(OfTriplets):
    """Indices of triplets in the second bottom; three mistakes in the gradient."""

    halves = 1

    def reshape(self, bottom, top):
        if not bottom[1].count or bottom[1].count % 3:
            raise Exception("indices come in threes")
        top[0].reshape()

    def rows_of(self, bottom):
        rows = bottom[1].data.astype(int).reshape(-1, 3)
        if rows.min() < 0 or rows.max() >= bottom[0].num:
            raise Exception("an index is no sample")
        return rows

    def slopes(self, bottom, w):
        x = bottom[0].data.reshape(bottom[0].shape[0], -1)
        gradient = np.zeros_like(x)
        for a, p, n in self.rows:
            gradient[a], gradient[p], gradient[n] = x[n] - x[p], x[p] - x[a], x[a] - x[p]
        return (2 * w * gradient / len(self.rows),)


class T7(OfThree):
    counts = (4,)
    options = {"triplet_loss_param": {"alpha": 1.0}}

    def margin(self):
        return self.own["alpha"]
