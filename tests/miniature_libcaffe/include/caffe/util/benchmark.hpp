#pragma once

namespace caffe {

class Timer {
 public:
  void Start() {}
  void Stop() {}
  float MilliSeconds() { return 1.5f; }
};

}  // namespace caffe
