#include "rpc/request_session.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "base/rng.h"

namespace cairn::rpc {

std::string NewSessionName() {
  char name[33];
  std::snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64, SystemEntropy(), SystemEntropy());
  return name;
}

RequestSession::RequestSession(std::function<std::string()> new_name)
    : new_name_(std::move(new_name)), name_(new_name_()) {}

uint64_t RequestSession::Begin() {
  open_.insert(open_.end(), next_);
  return next_++;
}

void RequestSession::Finished(const std::string& session, uint64_t sequence) {
  if (session == name_) open_.erase(sequence);
}

void RequestSession::Renew() {
  name_ = new_name_();
  state_ = State::kNew;
  next_ = 2;
  open_.clear();
}

}  // namespace cairn::rpc
