#pragma once
#include "caffe/layer.hpp"

namespace caffe {

template <typename T> class Net {
 public:
  explicit Net(const NetParameter& net);
  T ForwardFromTo(int from, int to);
  void BackwardFromTo(int from, int to);
  void ClearParamDiffs();
  void Reshape();

  bool has_blob(const std::string& name) const;
  std::shared_ptr<Blob<T>> blob_by_name(const std::string& name) const;
  const std::vector<std::string>& blob_names() const { return blob_names_; }
  const std::vector<std::shared_ptr<Blob<T>>>& blobs() const { return blobs_; }
  const std::vector<std::string>& layer_names() const { return layer_names_; }
  const std::vector<std::shared_ptr<Layer<T>>>& layers() const { return layers_; }
  const std::vector<int>& bottom_ids(int layer) const { return bottom_ids_[size_t(layer)]; }
  const std::vector<int>& top_ids(int layer) const { return top_ids_[size_t(layer)]; }
  const std::vector<int>& output_blob_indices() const { return outputs_; }
  const std::vector<bool>& layer_need_backward() const { return layer_need_; }

 private:
  typedef std::vector<Blob<T>*> Blobs;
  void add(const Message& layer);
  void force_backward();
  void leave_out_what_reaches_no_loss();
  Blobs at(const std::vector<int>& ids) const;

  std::vector<std::string> blob_names_, layer_names_;
  std::vector<std::shared_ptr<Blob<T>>> blobs_;
  std::vector<std::shared_ptr<Layer<T>>> layers_;
  std::vector<std::vector<int>> bottom_ids_, top_ids_;
  std::vector<std::vector<bool>> bottom_need_;
  std::vector<int> outputs_;
  std::vector<bool> layer_need_, blob_need_;
};

}  // namespace caffe
