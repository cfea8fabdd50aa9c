#include "server/http_service.h"

#include <utility>

namespace cairn::server {

Result<std::unique_ptr<HttpService>> HttpService::Hold(const std::string& host, uint16_t port) {
  Result<std::unique_ptr<PortCheck>> held = PortCheck::Bind(host, port);
  if (!held.ok()) return Status(held.status()).Prefixed("the HTTP door");
  return std::unique_ptr<HttpService>(new HttpService(host, *std::move(held)));
}

Status HttpService::Listen(http::Handler handler, Clock* clock) {
  held_.reset();
  Result<std::unique_ptr<Listener>> listener =
      Listener::Listen(host_, port_, ConnectionDescriptorsMax(), clock);
  if (!listener.ok()) return Status(listener.status()).Prefixed("the HTTP door");
  door_ = std::make_unique<http::Door>(std::move(handler), http::DoorLimits());
  door_->Start();
  listener_ = *std::move(listener);
  listener_->Start([door = door_.get()](int fd) { door->Take(fd); });
  return OkStatus();
}

void HttpService::Stop() {
  if (listener_ != nullptr) listener_->Stop();
  if (door_ != nullptr) door_->Stop();
}

const http::DoorCounts& HttpService::counts() const {
  static const http::DoorCounts* const kNone = new http::DoorCounts();
  return door_ != nullptr ? door_->counts() : *kNone;
}

}  // namespace cairn::server
