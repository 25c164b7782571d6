"""Audit: what the loss of a training net is, and which of its layers are trained by it; no data, weights or Caffe."""
