#pragma once
#include "caffe/layer.hpp"

namespace caffe {

template <typename T> class LayerRegistry {
 public:
  static std::shared_ptr<Layer<T>> CreateLayer(const Message& message);
  static std::vector<std::string> LayerTypeList();
};

}  // namespace caffe
