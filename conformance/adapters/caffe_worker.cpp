// The worker for a Caffe without Python: drives libcaffe and speaks the protocol of caffe-loss-conformance, version 2.
//
//     g++ -std=c++11 -DCPU_ONLY -I$CAFFE/include caffe_worker.cpp -o caffe_worker
//         -L$CAFFE/lib -lcaffe -lprotobuf -lglog
//     lossconf run "process:./caffe_worker"               # or "process:./caffe_worker --gpu 0"
//
// One file of C++11 for POSIX systems, which needs nothing but your Caffe. Compile it as Caffe was compiled: leave
// -DCPU_ONLY out where Caffe was built with CUDA. Options: --gpu N, and --name NAME, --version VERSION for the report.
//
// Caffe answers a failed check with abort(), so on CPU every case runs in a fork of this process, and its death costs
// the case. CUDA does not survive a fork, so --gpu runs cases in this process, and the harness reads the refusal off
// its remains and starts it again.

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// ------------------------------------------------------------------------------------------------ the Caffe at hand
//
// Everything that differs between Caffes stands in this block: where the compiler stops, look here.

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/util/benchmark.hpp"
#include "caffe/util/upgrade_proto.hpp"

// NVIDIA's Caffe from 0.16 on has no Net<float>: its Net holds blobs of any type. tensor.hpp is how it is known;
// -DLOSSCONF_UNTEMPLATED=1 or =0 says it where that is wrong.
#ifndef LOSSCONF_UNTEMPLATED
#if defined(__has_include)
#if __has_include("caffe/tensor.hpp")
#define LOSSCONF_UNTEMPLATED 1
#endif
#endif
#endif

template <typename T> struct Its;  // what a Caffe calls things in type T
#if LOSSCONF_UNTEMPLATED
template <typename T> struct Its {
  typedef caffe::Net Net;
  typedef caffe::Blob Blob;
  typedef caffe::LayerRegistry Registry;
};

template <typename T> void choose_type(caffe::NetParameter* net) {
  caffe::Type type = sizeof(T) == sizeof(double) ? caffe::DOUBLE : caffe::FLOAT;
  net->set_default_forward_type(type);
  net->set_default_backward_type(type);
  net->set_default_forward_math(type);
  net->set_default_backward_math(type);
}
inline void run_backward(caffe::Net& net) { net.BackwardFromToAu(int(net.layers().size()) - 1, 0, false); }
template <typename T> const T* data_of(const caffe::Blob& blob) { return blob.cpu_data<T>(); }
template <typename T> const T* diff_of(const caffe::Blob& blob) { return blob.cpu_diff<T>(); }
template <typename T> T* mutable_data(caffe::Blob& blob) { return blob.mutable_cpu_data<T>(); }
template <typename T> T* mutable_diff(caffe::Blob& blob) { return blob.mutable_cpu_diff<T>(); }
#else
template <typename T> struct Its {
  typedef caffe::Net<T> Net;
  typedef caffe::Blob<T> Blob;
  typedef caffe::LayerRegistry<T> Registry;
};

template <typename T> void choose_type(caffe::NetParameter*) {}
template <typename N> void run_backward(N& net) { net.BackwardFromTo(int(net.layers().size()) - 1, 0); }
template <typename T> const T* data_of(const caffe::Blob<T>& blob) { return blob.cpu_data(); }
template <typename T> const T* diff_of(const caffe::Blob<T>& blob) { return blob.cpu_diff(); }
template <typename T> T* mutable_data(caffe::Blob<T>& blob) { return blob.mutable_cpu_data(); }
template <typename T> T* mutable_diff(caffe::Blob<T>& blob) { return blob.mutable_cpu_diff(); }
#endif

// The net's parameters, of a phase, level and stages; the file's layers are upgraded as Caffe upgrades them.
template <typename T> caffe::NetParameter read_net(const std::string& file, bool test, int level,
                                                   const std::vector<std::string>& stages) {
  caffe::NetParameter net;
  caffe::ReadNetParamsFromTextFileOrDie(file, &net);
  net.mutable_state()->set_phase(test ? caffe::TEST : caffe::TRAIN);
  net.mutable_state()->set_level(level);
  for (size_t i = 0; i < stages.size(); ++i) net.mutable_state()->add_stage(stages[i]);
  choose_type<T>(&net);
  return net;
}

void use_device(int gpu) {
  if (gpu < 0) {
    caffe::Caffe::set_mode(caffe::Caffe::CPU);
  } else {
    caffe::Caffe::SetDevice(gpu);
    caffe::Caffe::set_mode(caffe::Caffe::GPU);
  }
}

std::string gpu_name(int gpu) {
#ifndef CPU_ONLY
  cudaDeviceProp told;
  if (cudaGetDeviceProperties(&told, gpu) == cudaSuccess) return told.name;
#endif
  return "unknown: " + std::to_string(gpu);
}

void start_logging() {
#ifdef GOOGLE_STRIP_LOG  // glog, which some forks have replaced
  if (!getenv("GLOG_minloglevel")) FLAGS_minloglevel = 1;  // an INFO line per blob and layer of every net is a flood
  FLAGS_logtostderr = true;
  google::InitGoogleLogging("caffe_worker");
#endif
}

// ------------------------------------------------------------------------------------------------------------- JSON

struct Json {
  enum Kind { NOTHING, FLAG, NUMBER, TEXT, LIST, OBJECT };
  Kind kind;
  bool flag;
  double real;
  std::string word;
  std::vector<std::string> keys;  // of an object's items
  std::vector<Json> items;

  explicit Json(Kind kind = NOTHING) : kind(kind), flag(false), real(0) {}

  const Json& as(Kind wanted) const {
    static const char* names[] = {"null", "true or false", "number", "text", "list", "object"};
    if (kind == wanted) return *this;
    throw std::runtime_error(std::string("JSON: ") + names[kind] + " where " + names[wanted] + " belongs");
  }
  const std::string& text() const { return as(TEXT).word; }
  const std::vector<Json>& list() const { return as(LIST).items; }
  const Json* find(const std::string& key) const {  // null where there is none
    as(OBJECT);
    for (size_t i = 0; i < keys.size(); ++i) if (keys[i] == key) return &items[i];
    return nullptr;
  }
  const Json& operator[](const std::string& key) const {
    const Json* found = find(key);
    if (!found) throw std::runtime_error("JSON: no \"" + key + "\"");
    return *found;
  }
  double number() const {  // "NaN", "Infinity" and "-Infinity" are numbers, too
    bool named = kind == TEXT && (word == "NaN" || word == "Infinity" || word == "-Infinity");
    return named ? strtod(word.c_str(), nullptr) : as(NUMBER).real;
  }
};

const Json& field(const Json& json, const char* key) {  // an object's or list's, empty where there is none
  static const Json none(Json::OBJECT);
  const Json* found = json.find(key);
  return found ? *found : none;
}

class Reader {
 public:
  explicit Reader(const std::string& line) : at_(line.c_str()) {}

  Json whole() {
    Json json = value(0);
    if (next()) wrong("more than one value");
    return json;
  }

 private:
  static void wrong(const std::string& what) { throw std::runtime_error("JSON: " + what); }
  char next() { while (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n') ++at_; return *at_; }
  bool took(char wanted) { return next() == wanted && ++at_; }
  void need(char wanted) { if (!took(wanted)) wrong(std::string("no '") + wanted + "' where it belongs"); }

  Json value(int depth) {
    if (depth > 100) wrong("too deep");
    Json json;
    if (took('{')) {
      json.kind = Json::OBJECT;
      if (took('}')) return json;
      do {
        next();
        json.keys.push_back(text());
        need(':');
        json.items.push_back(value(depth + 1));
      } while (took(','));
      need('}');
    } else if (took('[')) {
      json.kind = Json::LIST;
      if (took(']')) return json;
      do json.items.push_back(value(depth + 1)); while (took(','));
      need(']');
    } else if (next() == '"') {
      json.kind = Json::TEXT;
      json.word = text();
    } else if (word("true") || word("false")) {
      json.kind = Json::FLAG;
      json.flag = at_[-2] == 'u';
    } else if (!word("null")) {
      char* end = nullptr;
      json.kind = Json::NUMBER;
      json.real = strtod(at_, &end);
      if (end == at_) wrong("nothing where a value belongs");
      at_ = end;
    }
    return json;
  }

  bool word(const char* wanted) {
    size_t length = strlen(wanted);
    if (strncmp(at_, wanted, length) != 0) return false;
    at_ += length;
    return true;
  }

  std::string text() {
    std::string out;
    need('"');
    for (; *at_ != '"'; ++at_) {
      if (!*at_) wrong("a text without an end");
      if (*at_ != '\\') { out += *at_; continue; }
      static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
      const char* place = *++at_ ? strchr(names, *at_) : nullptr;
      if (place) out += meanings[place - names];
      else if (*at_ == 'u') out += code_point();
      else wrong("an unknown escape");
    }
    ++at_;
    return out;
  }

  unsigned hexadecimal() {  // the four digits after the u, the last of which it ends at
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      static const char digits[] = "0123456789abcdef";
      const char* place = *++at_ ? strchr(digits, *at_ | 0x20) : nullptr;
      if (!place) wrong("a broken \\u");
      code = code << 4 | unsigned(place - digits);
    }
    return code;
  }

  std::string code_point() {  // as UTF-8; JSON has those beyond 16 bits as a pair
    unsigned code = hexadecimal();
    if (code >= 0xD800 && code < 0xDC00 && at_[1] == '\\' && at_[2] == 'u') {
      at_ += 2;
      code = 0x10000 + ((code - 0xD800) << 10) + (hexadecimal() - 0xDC00);
    }
    if (code < 0x80) return std::string(1, char(code));
    std::string out;
    int rest = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out += char((0xFF00 >> (rest + 1) & 0xFF) | code >> 6 * rest);
    while (rest--) out += char(0x80 | (code >> 6 * rest & 0x3F));
    return out;
  }

  const char* at_;
};

// The character that begins at a byte, and how many bytes follow it; -1 where that is no UTF-8.
int character(const std::string& text, size_t at, size_t* more) {
  static const int least[] = {0, 0x80, 0x800, 0x10000};
  unsigned char first = text[at];
  *more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : first >> 3 == 30 ? 3 : text.size();
  if (at + *more >= text.size()) return -1;
  int code = *more ? first & 0x3F >> *more : first;
  for (size_t i = 1; i <= *more; ++i) {
    if ((text[at + i] & 0xC0) != 0x80) return -1;
    code = code << 6 | (text[at + i] & 0x3F);
  }
  return code < least[*more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? -1 : code;
}

std::string text_of(const std::string& text) {  // what is no UTF-8 is told as '?'
  std::string out = "\"";
  for (size_t i = 0, more; i < text.size(); ++i) {
    int code = character(text, i, &more);
    if (code < 0) {
      out += '?';
    } else if (code < 0x20 || code == '"' || code == '\\') {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", code & 0xFF);
      out += escaped;
    } else {
      out += text.substr(i, more + 1);
      i += more;
    }
  }
  return out + "\"";
}

std::string number(double value) {  // 17 digits: nothing is lost
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  char text[40];
  snprintf(text, sizeof text, "%.17g", value);
  return text;
}

typedef std::vector<std::string> Texts;

std::string list_of(const Texts& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) out += (i ? "," : "") + items[i];
  return "[" + out + "]";
}

std::string names_of(const Texts& names) {
  Texts items;
  for (size_t i = 0; i < names.size(); ++i) items.push_back(text_of(names[i]));
  return list_of(items);
}

std::string numbers_of(const std::vector<double>& numbers) {
  Texts items;
  for (size_t i = 0; i < numbers.size(); ++i) items.push_back(number(numbers[i]));
  return list_of(items);
}

struct Object {  // one that is written member by member
  std::string members;
  Object& put(const std::string& key, const std::string& json) {
    members += (members.empty() ? "" : ",") + text_of(key) + ":" + json;
    return *this;
  }
  std::string text() const { return "{" + members + "}"; }
};

// ----------------------------------------------------------------------------------------------------------- arrays

typedef std::vector<int> Shape;
const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string bytes_of(const std::string& base64) {
  std::string out;
  unsigned bits = 0;
  int held = 0;
  for (size_t i = 0; i < base64.size() && base64[i] != '='; ++i) {
    const char* digit = strchr(BASE64, base64[i]);
    if (!digit) throw std::runtime_error("base64: an unknown digit");
    bits = bits << 6 | unsigned(digit - BASE64);
    if ((held += 6) >= 8) out += char(bits >> (held -= 8) & 0xFF);
  }
  return out;
}

std::string base64_of(const char* bytes, size_t size) {
  std::string out;
  out.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    unsigned bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < size ? (unsigned char)bytes[i + k] : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k <= size ? BASE64[bits >> (18 - 6 * k) & 0x3F] : '=';
  }
  return out;
}

template <typename T> const char* dtype() { return sizeof(T) == sizeof(double) ? "float64" : "float32"; }

Shape shape_of(const Json& array) {
  Shape shape;
  const std::vector<Json>& sizes = array["shape"].list();
  for (size_t i = 0; i < sizes.size(); ++i) shape.push_back(int(sizes[i].number()));
  return shape;
}

template <typename T> std::vector<T> numbers_in(const Json& array) {  // of either form; on a little-endian machine
  std::vector<T> numbers;
  if (array.find("base64")) {
    const std::string& type = array["dtype"].text();
    if (type != dtype<T>()) throw std::runtime_error(type + " where " + dtype<T>() + " is asked for");
    std::string bytes = bytes_of(array["base64"].text());
    numbers.resize(bytes.size() / sizeof(T));
    if (!numbers.empty()) memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(T));
  } else {
    const std::vector<Json>& data = array["data"].list();
    for (size_t i = 0; i < data.size(); ++i) numbers.push_back(T(data[i].number()));
  }
  return numbers;
}

template <typename T> std::string array_of(const T* numbers, size_t count, const std::string& shape) {
  return Object().put("dtype", text_of(dtype<T>())).put("shape", shape)
      .put("base64", text_of(base64_of(reinterpret_cast<const char*>(numbers), count * sizeof(T)))).text();
}

std::string shape_text(const Shape& shape) {
  Texts sizes;
  for (size_t i = 0; i < shape.size(); ++i) sizes.push_back(std::to_string(shape[i]));
  return list_of(sizes);
}

// --------------------------------------------------------------------------------------------------------- one case

typedef std::function<void(const std::string&)> Announce;

struct Refused : std::runtime_error {  // Caffe said no by an exception; an abort() leaves no time for one
  std::string stage;
  Refused(const std::string& stage, const std::string& text) : std::runtime_error(text), stage(stage) {}
};

void write_file(const std::string& name, const std::string& content) {
  std::ofstream file(name.c_str(), std::ios::binary);
  file.write(content.data(), std::streamsize(content.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + name);
}

// A case's net, taken through its passes; every stage is announced before it is entered.
template <typename T> class CaseNet {
 public:
  typedef typename Its<T>::Net Net;
  typedef typename Its<T>::Blob Blob;

  CaseNet(const Json& request, const Announce& announce) : case_(request["case"]), announce_(announce), loss_(0) {
    const Json& files = field(case_, "files");
    for (size_t i = 0; i < files.keys.size(); ++i) write_file(files.keys[i], bytes_of(files.items[i].text()));
    write_file("net.prototxt", case_["net"].text());
    const Json *phase = case_.find("phase"), *level = case_.find("level");
    const Json& wanted = field(case_, "stages");
    Texts stages;
    for (size_t i = 0; i < wanted.items.size(); ++i) stages.push_back(wanted.items[i].text());
    stage("construct", [&] {
      bool test = phase && phase->text() == "TEST";
      net_.reset(new Net(read_net<T>("net.prototxt", test, level ? int(level->number()) : 0, stages)));
      fill(case_);
    });
  }

  void forward() {
    loss_ = net_->ForwardFromTo(0, int(net_->layers().size()) - 1);
    fill_diffs(field(*pass_, "top_diff"));
  }

  void backward() { run_backward(*net_); }

  void stage(const char* name, const std::function<void()>& work) {
    announce_(name);
    try {
      work();
    } catch (const std::exception& error) {
      throw Refused(name, error.what());
    }
  }

  void step(const std::string& name) { stage(name.c_str(), [&] { name == "forward" ? forward() : backward(); }); }

  // What the net holds after the last pass, and after each where that is asked for.
  std::string run() {
    const Json& further = field(case_, "passes");
    const Json* each = case_.find("each_pass");
    Texts states;
    for (size_t i = 0; i <= further.items.size(); ++i) {
      if (i) stage("forward", [&] { enter(further.items[i - 1]); });  // new shapes are refused by the forward
      const Json* steps = pass_->find("steps");
      for (size_t k = 0; k < (steps ? steps->list().size() : 2); ++k) {
        step(steps ? steps->items[k].text() : k ? "backward" : "forward");
        trace_.push_back(loss_);
      }
      if (each && each->flag) states.push_back(state().text());
    }
    Object outcome = state();
    if (trace_.size() > 2 || !further.items.empty()) outcome.put("loss_trace", numbers_of(trace_));
    if (!states.empty()) outcome.put("passes", list_of(states));
    return outcome.text();
  }

 private:
  void enter(const Json& pass) {
    const Json* clear = pass.find("clear");
    if (!clear || clear->flag) net_->ClearParamDiffs();
    fill(pass);
  }

  Blob& blob(const std::string& name) {
    if (!net_->has_blob(name)) throw std::runtime_error("the net has no blob " + name);
    return *net_->blob_by_name(name);
  }

  // What a pass brings: inputs, reshaped where they are of another shape; parameters; the diffs' first values.
  void fill(const Json& pass) {
    pass_ = &pass;
    bool reshaped = false;
    const Json &inputs = field(pass, "inputs"), &params = field(pass, "params");
    for (size_t i = 0; i < inputs.keys.size(); ++i) {
      Blob& input = blob(inputs.keys[i]);
      if (input.shape() != shape_of(inputs.items[i])) {
        input.Reshape(shape_of(inputs.items[i]));
        reshaped = true;
      }
      set_data(input, inputs.items[i], inputs.keys[i]);
    }
    if (reshaped && !trace_.empty()) net_->Reshape();  // before the diffs of what lies between are filled
    for (size_t i = 0; i < params.keys.size(); ++i) set_params(params.keys[i], params.items[i].list());
    fill_diffs(field(pass, "prefill_diff"));
  }

  void set_data(Blob& blob, const Json& array, const std::string& name) {
    std::vector<T> numbers = numbers_in<T>(array);
    size_t count = size_t(blob.count());
    if (numbers.size() != count)
      throw std::runtime_error(name + " holds " + std::to_string(count) + " numbers, not " +
                               std::to_string(numbers.size()));
    if (!numbers.empty()) std::copy(numbers.begin(), numbers.end(), mutable_data<T>(blob));
  }

  void set_params(const std::string& layer, const std::vector<Json>& arrays) {
    std::vector<Blob*> found;
    for (size_t i = 0; i < net_->layers().size(); ++i)
      for (size_t k = 0; net_->layer_names()[i] == layer && k < net_->layers()[i]->blobs().size(); ++k)
        found.push_back(net_->layers()[i]->blobs()[k].get());
    if (found.size() < arrays.size())
      throw std::runtime_error("layer " + layer + " has " + std::to_string(found.size()) + " learnable blobs, not " +
                               std::to_string(arrays.size()));
    shapes_[layer].clear();
    for (size_t i = 0; i < arrays.size(); ++i) {
      set_data(*found[i], arrays[i], layer);
      shapes_[layer].push_back(shape_text(shape_of(arrays[i])));
    }
  }

  void fill_diffs(const Json& values) {
    for (size_t i = 0; i < values.keys.size(); ++i) {
      Blob& filled = blob(values.keys[i]);
      if (filled.count()) std::fill_n(mutable_diff<T>(filled), filled.count(), T(values.items[i].number()));
    }
  }

  // An empty blob's memory is not touched: Caffe aborts on it.
  static std::string data(const Blob& blob) {
    return array_of<T>(blob.count() ? data_of<T>(blob) : nullptr, blob.count(), shape_text(blob.shape()));
  }
  static std::string diff(const Blob& blob, const std::string& shape) {
    return array_of<T>(blob.count() ? diff_of<T>(blob) : nullptr, blob.count(), shape);
  }

  Object state() {
    Object values, diffs, param_diffs;
    const Texts& names = net_->blob_names();
    for (size_t i = 0; i < names.size(); ++i) {
      const Blob& blob = *net_->blobs()[i];
      values.put(names[i], data(blob));
      diffs.put(names[i], diff(blob, shape_text(blob.shape())));
    }
    Texts layers, outputs;
    for (size_t i = 0; i < net_->layers().size(); ++i) {
      const std::string& name = net_->layer_names()[i];
      Texts arrays;
      for (size_t k = 0; k < net_->layers()[i]->blobs().size(); ++k) {
        const Blob& blob = *net_->layers()[i]->blobs()[k];
        const Texts& given = shapes_[name];  // an old Caffe keeps (1, 1, N, K)
        arrays.push_back(diff(blob, k < given.size() ? given[k] : shape_text(blob.shape())));
      }
      if (!arrays.empty()) param_diffs.put(name, list_of(arrays));
      layers.push_back(record(int(i)));
    }
    const std::vector<int>& indices = net_->output_blob_indices();
    for (size_t i = 0; i < indices.size(); ++i) outputs.push_back(names[indices[i]]);
    return Object().put("dtype", text_of(dtype<T>())).put("loss", number(loss_)).put("data", values.text())
        .put("diff", diffs.text()).put("param_diff", param_diffs.text()).put("layers", list_of(layers))
        .put("outputs", names_of(outputs));
  }

  std::string record(int index) {  // a layer after splitting
    Texts bottoms, tops;
    std::vector<double> weights;
    const Texts& names = net_->blob_names();
    const std::vector<int>&from = net_->bottom_ids(index), &to = net_->top_ids(index);
    for (size_t i = 0; i < from.size(); ++i) bottoms.push_back(names[from[i]]);
    for (size_t i = 0; i < to.size(); ++i) {
      tops.push_back(names[to[i]]);
      weights.push_back(net_->layers()[index]->loss(int(i)));
    }
    return Object().put("name", text_of(net_->layer_names()[index])).put("type", text_of(net_->layers()[index]->type()))
        .put("bottoms", names_of(bottoms)).put("tops", names_of(tops)).put("loss_weights", numbers_of(weights))
        .put("need_backward", net_->layer_need_backward()[index] ? "true" : "false").text();
  }

  const Json& case_;
  Announce announce_;
  std::unique_ptr<Net> net_;
  const Json* pass_;  // the one that is run
  std::map<std::string, Texts> shapes_;  // of the parameters given, by layer
  std::vector<double> trace_;
  double loss_;
};

double seconds_of(int gpu, const std::function<void()>& work) {
  if (gpu >= 0) {  // Caffe's own timer waits for the device
    caffe::Timer timer;
    timer.Start();
    work();
    timer.Stop();
    return timer.MilliSeconds() / 1e3;
  }
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Per round: forward, backward, and one after the other, each on its own; after one unmeasured pass of each.
template <typename T> std::string times_of(CaseNet<T>& net, int rounds, int gpu) {
  net.step("forward");
  net.step("backward");
  std::vector<double> forward, backward, both;
  for (int i = 0; i < rounds; ++i) {
    forward.push_back(seconds_of(gpu, [&] { net.forward(); }));
    backward.push_back(seconds_of(gpu, [&] { net.backward(); }));
    both.push_back(seconds_of(gpu, [&] { net.forward(); net.backward(); }));
  }
  Object times;
  times.put("forward", numbers_of(forward)).put("backward", numbers_of(backward)).put("both", numbers_of(both));
  return times.text();
}

template <typename T> Object perform_in(const Json& request, int gpu, const Announce& announce) {
  CaseNet<T> net(request, announce);
  if (request["verb"].text() == "run") return Object().put("outcome", net.run());
  return Object().put("times", times_of(net, int(request["rounds"].number()), gpu));
}

Object refusal(const std::string& stage, const std::string& message) {
  return Object().put("refusal", Object().put("stage", text_of(stage)).put("message", text_of(message)).text());
}

Object mistaken(const std::exception& error) { return Object().put("error", text_of(error.what())); }

Object perform(const Json& request, int gpu, const Announce& announce) {
  try {
    const Json* asked = request.find("dtype");
    std::string type = asked ? asked->text() : "float32";
    use_device(gpu);
    if (type == dtype<double>()) return perform_in<double>(request, gpu, announce);
    if (type == dtype<float>()) return perform_in<float>(request, gpu, announce);
    return Object().put("unsupported", text_of("there is no " + type + " in Caffe"));
  } catch (const Refused& no) {
    return refusal(no.stage, no.what());
  } catch (const std::exception& error) {
    return mistaken(error);
  }
}

// ------------------------------------------------------------------------------------------- what a dying Caffe said

// A glog header, as in "F1130 12:34:56.789012  4711 net.cpp:47] text": its letter, and where the text begins.
char glog_header(const std::string& line, size_t* begin) {
  char letter, clock[32];
  int day, read = 0;
  long thread;
  int found = sscanf(line.c_str(), "%c%8d %31[0-9:.] %ld %n", &letter, &day, clock, &thread, &read);
  *begin = size_t(read);
  return found == 4 && strchr("IWEF", letter) ? letter : 0;
}

// The last fatal message with its continuation lines; without one, the last line with "Check failed"; else nothing.
std::string fatal_text(const std::string& errors) {
  std::string found, plain;
  bool inside = false;
  for (size_t at = 0, end; at < errors.size(); at = end + 1) {
    end = std::min(errors.find('\n', at), errors.size());
    std::string line = errors.substr(at, end - at);
    size_t begin = 0;
    char letter = glog_header(line, &begin);
    if (letter) {
      inside = letter == 'F';
      if (inside) found = line.substr(begin);
    } else if (line.compare(0, 31, "*** Check failure stack trace: ") == 0) {
      inside = false;
    } else if (inside) {
      found += "\n" + line;
    }
    if (line.find("Check failed") != std::string::npos) plain = line;
  }
  return found.empty() ? plain : found;
}

std::string signal_name(int number) {
  static const std::map<int, const char*> names = {{SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"},
      {SIGILL, "SIGILL"}, {SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"}, {SIGTERM, "SIGTERM"}};
  return names.count(number) ? names.at(number) : "signal " + std::to_string(number);
}

// ---------------------------------------------------------------------------------------------- a child for each case

int sure(int result, const std::string& what) {  // of a system call
  if (result < 0) throw std::runtime_error("no " + what + ": " + strerror(errno));
  return result;
}

void write_all(int fd, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    ssize_t wrote = write(fd, text.data() + at, text.size() - at);
    if (wrote < 0) _exit(0);  // nobody listens any more
    at += size_t(wrote);
  }
}

void die_with(pid_t parent) {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
#endif
  if (getppid() != parent) _exit(1);
}

std::string event(const std::string& id, const std::string& stage) {
  return Object().put("event", text_of("stage")).put("id", id).put("stage", text_of(stage)).text() + "\n";
}

typedef std::function<Object(const Announce&)> Work;

// A fork that performs one request: its stages and its answer come out of one pipe, its standard error out of another.
class Fork {
 public:
  explicit Fork(const Work& work) : stage_("construct") {
    pid_t parent = getpid();
    int lines[2], errors[2];
    sure(pipe(lines), "pipe");
    sure(pipe(errors), "pipe");
    pid_ = sure(fork(), "fork");
    if (!pid_) {
      die_with(parent);
      dup2(errors[1], 2);
      dup2(open("/dev/null", O_RDONLY), 0);
      Object found = work([&](const std::string& stage) { write_all(lines[1], stage + "\n"); });
      write_all(lines[1], "{" + found.members + "\n");
      _exit(0);  // Caffe's destructors may abort after an overrun; the answer is out by now
    }
    close(lines[1]);
    close(errors[1]);
    lines_ = lines[0];
    errors_ = errors[0];
  }

  // Waits for the child's end: its answer, or what its death says. Ends this process when standard input is closed.
  Object answer(const Announce& announce) {
    struct pollfd ends[] = {{lines_, POLLIN, 0}, {errors_, POLLIN, 0}, {0, 0, 0}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
      if (poll(ends, 3, -1) < 0) continue;
      if (ends[2].revents) {
        kill(pid_, SIGKILL);
        _exit(0);
      }
      for (int i = 0; i < 2; ++i) {
        if (!ends[i].revents || relay(ends[i].fd, announce)) continue;
        close(ends[i].fd);
        ends[i].fd = -1;
      }
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    return answer_.members.empty() ? obituary(status) : answer_;
  }

 private:
  // Passes on standard error and stages, keeps the answer; false at the pipe's end.
  bool relay(int fd, const Announce& announce) {
    char chunk[1 << 16];
    ssize_t count = read(fd, chunk, sizeof chunk);
    if (count <= 0) return false;
    std::string text(chunk, size_t(count));
    if (fd == errors_) {
      said_ += text;
      if (said_.size() > sizeof chunk) said_.erase(0, said_.size() - sizeof chunk);
      write_all(2, text);
      return true;
    }
    for (size_t at = 0, end; at < text.size(); at = end + 1) {
      end = text.find('\n', at);
      rest_ += text.substr(at, end - at);
      if (end == std::string::npos) break;
      if (rest_[0] == '{') answer_.members = rest_.substr(1);
      else announce(stage_ = rest_);
      rest_.clear();
    }
    return true;
  }

  Object obituary(int status) const {
    std::string reason = "exited with status " + std::to_string(WEXITSTATUS(status)), text = fatal_text(said_);
    if (WIFSIGNALED(status)) {
      if (WTERMSIG(status) == SIGABRT && !text.empty()) return refusal(stage_, text);
      reason = "died by " + signal_name(WTERMSIG(status));
    }
    return Object().put("crash", Object().put("stage", text_of(stage_)).put("reason", text_of(reason)).text());
  }

  pid_t pid_;
  int lines_, errors_;
  std::string stage_, said_, rest_;
  Object answer_;
};

// -------------------------------------------------------------------------------------------------- the conversation

struct Options {
  int gpu;
  std::string name, version;
};

Object description(const Json& request, const Options& options) {
  std::string device = options.gpu < 0 ? "cpu" : "gpu:" + std::to_string(options.gpu);
  struct utsname host;
  uname(&host);
  Object around;
  around.put("compiler", text_of(__VERSION__)).put("platform", text_of(std::string(host.sysname) + " " + host.release))
      .put("machine", text_of(host.machine)).put("cpus", std::to_string(std::thread::hardware_concurrency()))
      .put("protobuf", std::to_string(GOOGLE_PROTOBUF_VERSION));
  if (options.gpu >= 0) around.put("gpu", text_of(gpu_name(options.gpu)));
  const Json* spoken = request.find("protocol");
  return Object().put("description", Object().put("protocol", spoken && spoken->number() < 2 ? "1" : "2")
      .put("name", text_of(options.name)).put("version", text_of(options.version)).put("language", text_of("C++"))
      .put("capability", text_of("net")).put("layers", names_of(Its<float>::Registry::LayerTypeList()))
      .put("dtypes", names_of({"float32", "float64"})).put("devices", names_of({device})).put("dialect", "null")
      .put("environment", around.text()).text());
}

class Folder {  // a working directory for one case, which is left and removed with it
 public:
  Folder() : home_(sure(open(".", O_RDONLY), "way back")) {
    const char* around = getenv("TMPDIR");
    std::string pattern = std::string(around ? around : "/tmp") + "/lossconf-XXXXXX";
    std::vector<char> name(pattern.c_str(), pattern.c_str() + pattern.size() + 1);
    sure(mkdtemp(name.data()) ? chdir(name.data()) : -1, "folder: " + pattern);
    name_ = name.data();
  }
  ~Folder() {
    if (fchdir(home_)) _exit(1);
    close(home_);
    nftw(name_.c_str(), away, 8, FTW_DEPTH | FTW_PHYS);
  }

 private:
  static int away(const char* path, const struct stat*, int, struct FTW*) { return remove(path); }
  int home_;
  std::string name_;
};

Object answer(const Json& request, const Options& options, const Announce& announce) {
  const std::string& verb = request["verb"].text();
  if (verb == "describe") return description(request, options);
  if (verb != "run" && verb != "time") throw std::runtime_error("unknown verb " + verb);
  Folder folder;
  if (options.gpu >= 0) return perform(request, options.gpu, announce);
  return Fork([&](const Announce& tell) { return perform(request, -1, tell); }).answer(announce);
}

void serve(const Options& options, int out) {
  for (std::string line; std::getline(std::cin, line);) {
    std::string id = "null";
    Object found;
    try {
      Json request = Reader(line).whole();
      const Json *asked = request.find("id"), *verb = request.find("verb");
      if (asked) id = number(asked->number());
      if (verb && verb->text() == "stop") return;
      found = answer(request, options, [&](const std::string& stage) { write_all(out, event(id, stage)); });
    } catch (const std::exception& error) {
      found = mistaken(error);
    }
    write_all(out, found.put("id", id).text() + "\n");
  }
}

int main(int count, char** words) {
  Options options = {-1, "libcaffe", "unknown"};
  for (int i = 1; i < count; i += 2) {
    std::string option = words[i], value = i + 1 < count ? words[i + 1] : "";
    bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (option == "--gpu" && digits) options.gpu = atoi(value.c_str());
    else if (option == "--name" && !value.empty()) options.name = value;
    else if (option == "--version" && !value.empty()) options.version = value;
    else {
      std::cerr << "usage: " << words[0] << " [--gpu N] [--name NAME] [--version VERSION]" << std::endl;
      return 2;
    }
  }
  int out = dup(1);
  dup2(2, 1);  // what anybody else prints goes to standard error from here on
  if (options.gpu >= 0) die_with(getppid());  // nothing here looks at standard input while a case runs
  start_logging();
  serve(options, out);
  _exit(0);  // without Caffe's destructors, which outlive CUDA
}
