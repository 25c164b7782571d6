#pragma once
#include "caffe/proto/caffe.pb.h"

namespace caffe {
void ReadNetParamsFromTextFileOrDie(const std::string& file, NetParameter* net);
}
