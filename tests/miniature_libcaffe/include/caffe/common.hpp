// A Caffe of a few hundred lines for the tests of caffe_worker.cpp: what the worker touches, as the public headers of
// BVLC Caffe name it. Here: glog's failing checks, and the device.
#pragma once

#ifndef CPU_ONLY
#include <cuda_runtime.h>
#endif

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#define GOOGLE_STRIP_LOG 0
#define GOOGLE_PROTOBUF_VERSION 1000
extern int FLAGS_minloglevel;
extern bool FLAGS_logtostderr;
namespace google { void InitGoogleLogging(const char* program); }

namespace caffe {

class Fatal {  // a message that ends the process as glog's does
 public:
  Fatal(const char* file, int line) { text_ << file << ":" << line << "] "; }
  ~Fatal();
  std::ostream& stream() { return text_; }

 private:
  std::ostringstream text_;
};

#define CHECK(condition) if (!(condition)) caffe::Fatal("miniature.cpp", __LINE__).stream() << "Check failed: " #condition " "

class Caffe {
 public:
  enum Brew { CPU, GPU };
  static Brew& mode();
  static void set_mode(Brew mode);
  static void SetDevice(int device);
};

}  // namespace caffe
