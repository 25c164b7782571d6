#pragma once
#include "caffe/common.hpp"

namespace caffe {

template <typename T> class Blob {
 public:
  void Reshape(const std::vector<int>& shape) {
    shape_ = shape;
    size_t count = 1;
    for (size_t i = 0; i < shape.size(); ++i) count *= size_t(shape[i]);
    data_.resize(count);
    diff_.resize(count);
  }
  const std::vector<int>& shape() const { return shape_; }
  int count(int from = 0) const {
    int count = 1;
    for (size_t i = size_t(from); i < shape_.size(); ++i) count *= shape_[i];
    return count;
  }
  const T* cpu_data() const { return touched(data_); }
  const T* cpu_diff() const { return touched(diff_); }
  T* mutable_cpu_data() { return const_cast<T*>(touched(data_)); }
  T* mutable_cpu_diff() { return const_cast<T*>(touched(diff_)); }

 private:
  static const T* touched(const std::vector<T>& numbers) {
    CHECK(!numbers.empty()) << "an empty blob's memory is touched";
    return numbers.data();
  }
  std::vector<int> shape_;
  std::vector<T> data_, diff_;
};

}  // namespace caffe
