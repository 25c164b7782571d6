"""A Python layer that writes down how the blobs it is given behave, on pycaffe and on the stand-in for it."""

import caffe
import numpy

QUESTIONS = (
    "self.type, self.param_str, self.phase == caffe.TRAIN, caffe.TRAIN, caffe.TEST",
    "len(bottom), bottom[-1].count, len(bottom[0:1])",
    "[blob.count for blob in bottom]",
    "bottom[2]",
    "list(bottom[0].shape), tuple(bottom[0].shape[1:]), len(bottom[0].shape), bottom[0].shape[-1]",
    "3 in bottom[0].shape",
    "bottom[0].shape[2]",
    "bottom[0].shape == bottom[0].shape",
    "bottom[0].shape == (2, 3)",
    "bottom[0].shape + bottom[0].shape",
    "np.zeros(bottom[0].shape).shape, np.zeros(bottom[0].shape[1:]).shape",
    "bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width, bottom[0].count",
    "type(bottom[0].shape[0]).__name__, type(bottom[0].count).__name__",
    "bottom[0].reshape(2.0, 3)",
    "bottom[0].reshape((2, 3))",
    "bottom[0].reshape(np.int64(2), 3)",
    "bottom[0].reshape(*bottom[0].shape)",
    "setattr(bottom[0], 'data', 3)",
    "bottom[0].missing",
    "str(bottom[0].data.dtype), bottom[0].data.flags.writeable, bottom[0].data.flags.c_contiguous",
    "bottom[0] == bottom[0]",
    "self.blobs.add_blob(3, 2), len(self.blobs), list(self.blobs[0].shape), self.blobs[0].data.tolist()",
    "[list(blob.shape) for blob in self.blobs]",
    "self.blobs[1]",
    "top[0].reshape(), list(top[0].shape), top[0].data.shape, top[0].count, top[0].num",
    "top[0].data[0]",
)


def answered(question, names):
    try:
        return repr(eval(question, {"caffe": caffe, "np": numpy, **names}))
    except Exception as error:
        return type(error).__name__


FACTS = []


class Probe(caffe.Layer):
    def setup(self, bottom, top):
        FACTS[:] = [[q, answered(q, {"self": self, "bottom": bottom, "top": top})] for q in QUESTIONS]

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[...] = 1

    def backward(self, top, propagate_down, bottom):
        asked = repr([list(propagate_down), len(propagate_down), propagate_down[0], type(propagate_down[0]).__name__])
        FACTS.append(["backward", asked])
        FACTS.append(["top diff", repr(top[0].diff.tolist())])
        bottom[0].diff[...] = 0
