// The miniature Caffe: reads a net's text, splits shared blobs, and computes the Euclidean and the softmax loss.
// A layer of type Mishap does what happens to real ones: mishap_param { in: "forward" how: "segfault" }.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>

#include "caffe/layer_factory.hpp"
#include "caffe/net.hpp"
#include "caffe/util/upgrade_proto.hpp"

int FLAGS_minloglevel = 0;
bool FLAGS_logtostderr = false;
void google::InitGoogleLogging(const char*) {}

namespace caffe {

Fatal::~Fatal() {
  fprintf(stderr, "F1130 12:34:56.789012  4711 %s\n*** Check failure stack trace: ***\n", text_.str().c_str());
  abort();
}

Caffe::Brew& Caffe::mode() { static Brew mode = CPU; return mode; }
void Caffe::set_mode(Brew mode) { Caffe::mode() = mode; }
void Caffe::SetDevice(int device) { CHECK(device == 0) << "invalid device ordinal"; }

// Text to messages.

std::vector<std::string> Message::all(const std::string& name) const {
  std::vector<std::string> found;
  for (size_t i = 0; i < words.size(); ++i) if (words[i].first == name) found.push_back(words[i].second);
  return found;
}

std::string Message::get(const std::string& name, const std::string& absent) const {
  std::vector<std::string> found = all(name);
  return found.empty() ? absent : found.back();
}

const Message& Message::in(const std::string& name) const {
  static const Message empty;
  for (size_t i = 0; i < names.size(); ++i) if (names[i] == name) return messages[i];
  return empty;
}

static std::string token(std::istream& text) {  // a name, a number, a string without its quotes, or one character
  while (text >> std::ws && text.peek() == '#') text.ignore(1 << 20, '\n');
  std::string word;
  int first = text.get();
  if (first == EOF) return word;
  if (first == '"' || first == '\'') {
    for (int c; (c = text.get()) != first && c != EOF;) word += char(c);
    return word;
  }
  word = char(first);
  while (!strchr("{}:", first) && text.peek() != EOF && !strchr(" \n\t{}:#\"'", text.peek())) word += char(text.get());
  return word;
}

static Message parse(std::istream& text, bool inner) {
  Message message;
  for (std::string name; !(name = token(text)).empty() && name != "}";) {
    std::string next = token(text);
    if (next == ":" && (text >> std::ws).peek() == '{') next = token(text);
    if (next == "{") {
      message.names.push_back(name);
      message.messages.push_back(parse(text, true));
    } else {
      CHECK(next == ":") << "Failed to parse NetParameter file: net.prototxt";
      message.words.push_back(std::make_pair(name, token(text)));
    }
  }
  CHECK(!inner || text) << "Failed to parse NetParameter file: net.prototxt";
  return message;
}

void ReadNetParamsFromTextFileOrDie(const std::string& file, NetParameter* net) {
  std::ifstream text(file.c_str());
  net->message = parse(text, false);
}

// Layers.

template <typename T> struct Input : Layer<T> {
  using Layer<T>::Layer;
  void LayerSetUp(const typename Layer<T>::Blobs&, const typename Layer<T>::Blobs& top) override {
    std::vector<std::vector<int>> shapes;
    const Message& given = this->message_.in("input_param");
    for (size_t i = 0; i < given.messages.size(); ++i) {
      shapes.push_back(std::vector<int>());
      for (const std::string& dim : given.messages[i].all("dim")) shapes.back().push_back(atoi(dim.c_str()));
    }
    CHECK(shapes.size() == top.size() || shapes.size() == 1) << "one shape, or one for each top";
    for (size_t i = 0; i < top.size(); ++i) top[i]->Reshape(shapes[shapes.size() == 1 ? 0 : i]);
  }
  void Reshape(const typename Layer<T>::Blobs&, const typename Layer<T>::Blobs&) override {}
  void Forward(const typename Layer<T>::Blobs&, const typename Layer<T>::Blobs&) override {}
};

template <typename T> struct Split : Layer<T> {
  using Layer<T>::Layer;
  typedef typename Layer<T>::Blobs Blobs;
  void Reshape(const Blobs& bottom, const Blobs& top) override { for (Blob<T>* each : top) each->Reshape(bottom[0]->shape()); }
  void Forward(const Blobs& bottom, const Blobs& top) override {
    for (Blob<T>* each : top) std::copy_n(bottom[0]->cpu_data(), bottom[0]->count(), each->mutable_cpu_data());
  }
  void Backward(const Blobs& top, const std::vector<bool>& down, const Blobs& bottom) override {
    if (!down[0]) return;
    std::fill_n(bottom[0]->mutable_cpu_diff(), bottom[0]->count(), T(0));
    for (Blob<T>* each : top)
      for (int i = 0; i < each->count(); ++i) bottom[0]->mutable_cpu_diff()[i] += each->cpu_diff()[i];
  }
};

template <typename T> struct Parameter : Layer<T> {  // a top that is learnt
  using Layer<T>::Layer;
  typedef typename Layer<T>::Blobs Blobs;
  void LayerSetUp(const Blobs&, const Blobs&) override {
    std::vector<int> shape;
    for (const std::string& dim : this->message_.in("parameter_param").in("shape").all("dim")) shape.push_back(atoi(dim.c_str()));
    this->blobs_.push_back(std::make_shared<Blob<T>>());
    this->blobs_[0]->Reshape(shape);
  }
  void Reshape(const Blobs&, const Blobs& top) override { top[0]->Reshape(this->blobs_[0]->shape()); }
  void Forward(const Blobs&, const Blobs& top) override {
    std::copy_n(this->blobs_[0]->cpu_data(), top[0]->count(), top[0]->mutable_cpu_data());
  }
  void Backward(const Blobs& top, const std::vector<bool>&, const Blobs&) override {
    for (int i = 0; i < top[0]->count(); ++i) this->blobs_[0]->mutable_cpu_diff()[i] += top[0]->cpu_diff()[i];
  }
};

template <typename T> struct Loss : Layer<T> {
  using Layer<T>::Layer;
  typedef typename Layer<T>::Blobs Blobs;
  T implicit_weight() const override { return 1; }
  void Reshape(const Blobs& bottom, const Blobs& top) override {
    CHECK(bottom[0]->shape()[0] == bottom[1]->shape()[0]) << "The data and label should have the same first dimension.";
    top[0]->Reshape(std::vector<int>());
  }
};

template <typename T> struct EuclideanLoss : Loss<T> {
  using Loss<T>::Loss;
  typedef typename Layer<T>::Blobs Blobs;
  void Reshape(const Blobs& bottom, const Blobs& top) override {
    Loss<T>::Reshape(bottom, top);
    CHECK(bottom[0]->count(1) == bottom[1]->count(1)) << "Inputs must have the same dimension.";
  }
  void Forward(const Blobs& bottom, const Blobs& top) override {
    T sum = 0;
    for (int i = 0; i < bottom[0]->count(); ++i) {
      T difference = bottom[0]->cpu_data()[i] - bottom[1]->cpu_data()[i];
      sum += difference * difference;
    }
    top[0]->mutable_cpu_data()[0] = sum / T(bottom[0]->shape()[0]) / T(2);
  }
  void Backward(const Blobs& top, const std::vector<bool>& down, const Blobs& bottom) override {
    for (size_t side = 0; side < 2; ++side) {
      T scale = (side ? -1 : 1) * top[0]->cpu_diff()[0] / T(bottom[0]->shape()[0]);
      for (int i = 0; down[side] && i < bottom[0]->count(); ++i)
        bottom[side]->mutable_cpu_diff()[i] = scale * (bottom[0]->cpu_data()[i] - bottom[1]->cpu_data()[i]);
    }
  }
};

template <typename T> struct SoftmaxWithLoss : Loss<T> {  // along axis 1, over the labels that count; no other options
  using Loss<T>::Loss;
  typedef typename Layer<T>::Blobs Blobs;
  bool AllowForceBackward(size_t bottom) const override { return bottom != 1; }
  void Reshape(const Blobs& bottom, const Blobs& top) override {
    Loss<T>::Reshape(bottom, top);
    CHECK(bottom[1]->count() == bottom[0]->shape()[0] * bottom[0]->count(2)) << "Number of labels must match number of predictions";
    for (size_t i = 1; i < top.size(); ++i) top[i]->Reshape(bottom[0]->shape());
  }
  void Forward(const Blobs& bottom, const Blobs& top) override {
    const T *scores = bottom[0]->cpu_data(), *labels = bottom[1]->cpu_data();
    const Message& options = this->message_.in("loss_param");
    int classes = bottom[0]->shape()[1], inner = bottom[0]->count(2), ignored = atoi(options.get("ignore_label", "-1").c_str());
    prob_.resize(size_t(bottom[0]->count()));
    counted_ = 0;
    T loss = 0;
    for (int place = 0; place < bottom[1]->count(); ++place) {
      int first = place / inner * classes * inner + place % inner, label = int(labels[place]);
      T largest = scores[first], sum = 0;
      for (int k = 0; k < classes; ++k) largest = std::max(largest, scores[first + k * inner]);
      for (int k = 0; k < classes; ++k) sum += prob_[size_t(first + k * inner)] = std::exp(scores[first + k * inner] - largest);
      for (int k = 0; k < classes; ++k) prob_[size_t(first + k * inner)] /= sum;
      if (label == ignored && ignored >= 0) continue;
      CHECK(label >= 0 && label < classes) << "label out of range";
      loss -= std::log(std::max(prob_[size_t(first + label * inner)], T(1.17549435e-38f)));
      ++counted_;
    }
    top[0]->mutable_cpu_data()[0] = loss / std::max(counted_, T(1));
    if (top.size() > 1) std::copy(prob_.begin(), prob_.end(), top[1]->mutable_cpu_data());
  }
  void Backward(const Blobs& top, const std::vector<bool>& down, const Blobs& bottom) override {
    CHECK(!down[1]) << "SoftmaxWithLoss Layer cannot backpropagate to label inputs.";
    if (!down[0]) return;
    const Message& options = this->message_.in("loss_param");
    int classes = bottom[0]->shape()[1], inner = bottom[0]->count(2), ignored = atoi(options.get("ignore_label", "-1").c_str());
    for (int place = 0; place < bottom[1]->count(); ++place) {
      int first = place / inner * classes * inner + place % inner, label = int(bottom[1]->cpu_data()[place]);
      T scale = label == ignored && ignored >= 0 ? T(0) : top[0]->cpu_diff()[0] / std::max(counted_, T(1));
      for (int k = 0; k < classes; ++k)
        bottom[0]->mutable_cpu_diff()[first + k * inner] = scale * (prob_[size_t(first + k * inner)] - (k == label ? T(1) : T(0)));
    }
  }

  std::vector<T> prob_;
  T counted_;
};

static void happen(const Message& message, const std::string& stage) {
  const Message& wish = message.in("mishap_param");
  if (wish.get("in", "") != stage) return;
  std::string how = wish.get("how", "");
  std::cout << "what Caffe prints" << std::endl;
  CHECK(how != "check") << "It happened\non two lines.";
  if (how == "plain check") std::cerr << "Check failed: without glog" << std::endl;
  if (how == "plain check" || how == "abort") abort();
  if (how == "throw") throw std::runtime_error("Could not open \"file\"\t\xC3\xA9\xFF");
  if (how == "segfault") raise(SIGSEGV);
  if (how == "odd signal") raise(SIGUSR1);
  if (how == "exit") _exit(3);
  if (how == "flood") std::cerr << std::string(200000, 'x') << std::endl;
  if (how == "hang") for (;;) pause();
}

template <typename T> struct Mishap : Layer<T> {
  using Layer<T>::Layer;
  typedef typename Layer<T>::Blobs Blobs;
  void LayerSetUp(const Blobs&, const Blobs&) override { happen(this->message_, "construct"); }
  void Reshape(const Blobs& bottom, const Blobs& top) override { for (Blob<T>* each : top) each->Reshape(bottom[0]->shape()); }
  void Forward(const Blobs& bottom, const Blobs& top) override {
    happen(this->message_, "forward");
    for (Blob<T>* each : top) std::copy_n(bottom[0]->cpu_data(), bottom[0]->count(), each->mutable_cpu_data());
  }
  void Backward(const Blobs& top, const std::vector<bool>&, const Blobs& bottom) override {
    happen(this->message_, "backward");
    std::copy_n(top[0]->cpu_diff(), bottom[0]->count(), bottom[0]->mutable_cpu_diff());
  }
};

template <typename T, template <typename> class L> std::shared_ptr<Layer<T>> make(const Message& message) {
  return std::make_shared<L<T>>(message);
}

template <typename T> static const std::map<std::string, std::shared_ptr<Layer<T>> (*)(const Message&)>& registry() {
  static const std::map<std::string, std::shared_ptr<Layer<T>> (*)(const Message&)> makers = {
      {"EuclideanLoss", make<T, EuclideanLoss>}, {"Input", make<T, Input>}, {"Mishap", make<T, Mishap>},
      {"Parameter", make<T, Parameter>}, {"SoftmaxWithLoss", make<T, SoftmaxWithLoss>}, {"Split", make<T, Split>}};
  return makers;
}

template <typename T> std::shared_ptr<Layer<T>> LayerRegistry<T>::CreateLayer(const Message& message) {
  std::string type = message.get("type", "");
  CHECK(registry<T>().count(type) == 1) << "Unknown layer type: " << type;
  return registry<T>().at(type)(message);
}

template <typename T> std::vector<std::string> LayerRegistry<T>::LayerTypeList() {
  std::vector<std::string> types;
  for (const auto& row : registry<T>()) types.push_back(row.first);
  return types;
}

// Nets.

// The layers of a net; a blob that several bottoms take goes through a Split.
static std::vector<Message> split(const std::vector<Message>& layers) {
  std::vector<Message> done;
  std::vector<Message> rest = layers;
  for (size_t i = 0; i < rest.size(); ++i) {
    done.push_back(rest[i]);
    std::vector<std::string> tops = rest[i].all("top"), weights = rest[i].all("loss_weight");
    for (size_t t = 0; t < tops.size(); ++t) {
      std::vector<std::string*> takers;
      for (size_t k = i + 1; k < rest.size(); ++k)
        for (auto& word : rest[k].words) if (word.first == "bottom" && word.second == tops[t]) takers.push_back(&word.second);
      if (takers.size() < 2) continue;
      std::string name = tops[t] + "_" + rest[i].get("name", "") + "_" + std::to_string(t) + "_split";
      Message added;
      added.words = {{"name", name}, {"type", "Split"}, {"bottom", tops[t]}};
      for (size_t k = 0; k < takers.size(); ++k) {
        *takers[k] = name + "_" + std::to_string(k);
        added.words.push_back(std::make_pair("top", *takers[k]));
      }
      done.push_back(added);
    }
  }
  return done;
}

template <typename T> Net<T>::Net(const NetParameter& net) {
  std::vector<Message> layers;
  std::string phase = net.state.phase == TEST ? "TEST" : "TRAIN";
  for (size_t i = 0; i < net.message.names.size(); ++i) {
    const Message& layer = net.message.messages[i];
    if (net.message.names[i] != "layer" || layer.in("include").get("phase", phase) != phase) continue;
    if (atoi(layer.in("include").get("min_level", "0").c_str()) > net.state.level) continue;
    std::string stage = layer.in("include").get("stage", "");
    if (!stage.empty() && !std::count(net.state.stages.begin(), net.state.stages.end(), stage)) continue;
    layers.push_back(layer);
  }
  for (const Message& layer : split(layers)) add(layer);
  if (net.message.get("force_backward", "false") == "true") force_backward(); else leave_out_what_reaches_no_loss();
  std::set<int> taken;
  for (const auto& ids : bottom_ids_) taken.insert(ids.begin(), ids.end());
  for (int id = 0; id < int(blobs_.size()); ++id) if (!taken.count(id)) outputs_.push_back(id);
  std::sort(outputs_.begin(), outputs_.end(), [this](int a, int b) { return blob_names_[size_t(a)] < blob_names_[size_t(b)]; });
}

template <typename T> void Net<T>::force_backward() {
  for (size_t i = 0; i < layers_.size(); ++i) {
    layer_need_[i] = true;
    for (size_t k = 0; k < bottom_need_[i].size(); ++k) bottom_need_[i][k] = bottom_need_[i][k] || layers_[i]->AllowForceBackward(k);
  }
}

template <typename T> void Net<T>::leave_out_what_reaches_no_loss() {
  std::set<int> wanted;
  for (size_t i = layers_.size(); i-- > 0;) {
    bool reaches = false;
    for (size_t t = 0; t < top_ids_[i].size(); ++t) reaches = reaches || layers_[i]->loss(int(t)) != 0 || wanted.count(top_ids_[i][t]);
    layer_need_[i] = layer_need_[i] && reaches;
    for (size_t k = 0; k < bottom_need_[i].size(); ++k) {
      bottom_need_[i][k] = bottom_need_[i][k] && reaches;
      if (bottom_need_[i][k]) wanted.insert(bottom_ids_[i][k]);
    }
  }
}

template <typename T> void Net<T>::add(const Message& message) {
  std::shared_ptr<Layer<T>> layer = LayerRegistry<T>::CreateLayer(message);
  std::vector<int> bottoms, tops;
  std::vector<bool> needs;
  std::vector<std::string> down = message.all("propagate_down"), weights = message.all("loss_weight");
  for (const std::string& name : message.all("bottom")) {
    CHECK(has_blob(name)) << "Unknown bottom blob '" << name << "'";
    int id = int(std::find(blob_names_.begin(), blob_names_.end(), name) - blob_names_.begin());
    needs.push_back(bottoms.size() < down.size() ? down[bottoms.size()] == "true" : bool(blob_need_[size_t(id)]));
    bottoms.push_back(id);
  }
  for (const std::string& name : message.all("top")) {
    CHECK(!has_blob(name)) << "Top blob '" << name << "' produced by multiple sources.";
    tops.push_back(int(blobs_.size()));
    blobs_.push_back(std::make_shared<Blob<T>>());
    blob_names_.push_back(name);
  }
  layer->LayerSetUp(at(bottoms), at(tops));
  layer->Reshape(at(bottoms), at(tops));
  bool need = !layer->blobs().empty() || std::count(needs.begin(), needs.end(), true);
  for (size_t i = 0; i < tops.size(); ++i) {
    layer->loss_.push_back(i < weights.size() ? T(strtof(weights[i].c_str(), nullptr)) : i ? T(0) : layer->implicit_weight());
    Blob<T>& top = *blobs_[size_t(tops[i])];
    if (layer->loss_[i] != 0) std::fill_n(top.mutable_cpu_diff(), top.count(), layer->loss_[i]);
    blob_need_.push_back(need);
  }
  layers_.push_back(layer);
  layer_names_.push_back(message.get("name", ""));
  bottom_ids_.push_back(bottoms);
  top_ids_.push_back(tops);
  bottom_need_.push_back(needs);
  layer_need_.push_back(need);
}

template <typename T> typename Net<T>::Blobs Net<T>::at(const std::vector<int>& ids) const {
  Blobs found;
  for (int id : ids) found.push_back(blobs_[size_t(id)].get());
  return found;
}

template <typename T> T Net<T>::ForwardFromTo(int from, int to) {
  T total = 0;
  for (int i = from; i <= to; ++i) {
    Blobs bottoms = at(bottom_ids(i)), tops = at(top_ids(i));
    layers_[size_t(i)]->Reshape(bottoms, tops);
    layers_[size_t(i)]->Forward(bottoms, tops);
    for (size_t t = 0; t < tops.size(); ++t)
      for (int k = 0; layers_[size_t(i)]->loss(int(t)) != 0 && k < tops[t]->count(); ++k) total += tops[t]->cpu_data()[k] * tops[t]->cpu_diff()[k];
  }
  return total;
}

template <typename T> void Net<T>::BackwardFromTo(int from, int to) {
  for (int i = from; i >= to; --i)
    if (layer_need_[size_t(i)]) layers_[size_t(i)]->Backward(at(top_ids(i)), bottom_need_[size_t(i)], at(bottom_ids(i)));
}

template <typename T> void Net<T>::Reshape() {
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i]->Reshape(at(bottom_ids_[i]), at(top_ids_[i]));
}

template <typename T> void Net<T>::ClearParamDiffs() {
  for (const auto& layer : layers_)
    for (const auto& blob : layer->blobs()) std::fill_n(blob->mutable_cpu_diff(), blob->count(), T(0));
}

template <typename T> bool Net<T>::has_blob(const std::string& name) const {
  return std::count(blob_names_.begin(), blob_names_.end(), name) > 0;
}

template <typename T> std::shared_ptr<Blob<T>> Net<T>::blob_by_name(const std::string& name) const {
  return blobs_[size_t(std::find(blob_names_.begin(), blob_names_.end(), name) - blob_names_.begin())];
}

template class Net<float>;
template class Net<double>;
template class LayerRegistry<float>;
template class LayerRegistry<double>;

}  // namespace caffe
