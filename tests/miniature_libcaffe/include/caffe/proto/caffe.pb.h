#pragma once
#include "caffe/common.hpp"

namespace caffe {

enum Phase { TRAIN, TEST };

struct Message {  // a message as its text has it: words, and messages in it
  std::vector<std::pair<std::string, std::string>> words;
  std::vector<std::string> names;
  std::vector<Message> messages;  // as many as names

  std::vector<std::string> all(const std::string& name) const;
  std::string get(const std::string& name, const std::string& absent) const;
  const Message& in(const std::string& name) const;  // an empty one where there is none
};

class NetState {
 public:
  void set_phase(Phase phase) { this->phase = phase; }
  void set_level(int level) { this->level = level; }
  void add_stage(const std::string& stage) { stages.push_back(stage); }
  Phase phase = TRAIN;
  int level = 0;
  std::vector<std::string> stages;
};

class NetParameter {
 public:
  NetState* mutable_state() { return &state; }
  NetState state;
  Message message;
};

}  // namespace caffe
