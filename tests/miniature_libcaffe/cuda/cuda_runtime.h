// The calls of CUDA that caffe_worker.cpp makes, for a compiler without CUDA.
#pragma once
#include <cstring>

enum cudaError_t { cudaSuccess, cudaErrorInvalidDevice };
struct cudaDeviceProp { char name[256]; };

inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* told, int device) {
  strcpy(told->name, "miniature");
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
