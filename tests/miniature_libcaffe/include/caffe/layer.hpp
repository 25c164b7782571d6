#pragma once
#include "caffe/blob.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

template <typename T> class Layer {
 public:
  typedef std::vector<Blob<T>*> Blobs;

  explicit Layer(const Message& message) : message_(message) {}
  virtual ~Layer() {}
  virtual void LayerSetUp(const Blobs&, const Blobs&) {}
  virtual void Reshape(const Blobs& bottom, const Blobs& top) = 0;
  virtual void Forward(const Blobs& bottom, const Blobs& top) = 0;
  virtual void Backward(const Blobs&, const std::vector<bool>&, const Blobs&) {}
  virtual bool AllowForceBackward(size_t) const { return true; }
  virtual T implicit_weight() const { return 0; }
  std::string type() const { return message_.get("type", ""); }
  T loss(int top) const { return size_t(top) < loss_.size() ? loss_[size_t(top)] : T(0); }
  std::vector<std::shared_ptr<Blob<T>>>& blobs() { return blobs_; }

  std::vector<T> loss_;

 protected:
  Message message_;
  std::vector<std::shared_ptr<Blob<T>>> blobs_;
};

}  // namespace caffe
