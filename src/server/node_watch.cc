#include "server/node_watch.h"

#include <utility>

#include "server/http_service.h"
#include "server/operations_service.h"

namespace cairn::server {

NodeWatch::NodeWatch(const ScrapeSources& sources, std::string settings)
    : sources_(sources),
      settings_(std::move(settings)),
      operations_(sources.clock, [this] { return Look(); }) {
  sources_.operations = &operations_;
}

std::unique_ptr<grpc::Service> NodeWatch::NewService(const ServiceHost& host) {
  Diagnosis diagnosis;
  diagnosis.operations = &operations_;
  diagnosis.replica = sources_.replica;
  diagnosis.clock = sources_.clock;
  diagnosis.info = sources_.info;
  diagnosis.settings = settings_;
  diagnosis.figures = [this] { return ReadFigures(sources_); };
  return NewOperationsService(host, &operations_, std::move(diagnosis));
}

Status NodeWatch::Start(const Listener* listener, HttpService* http) {
  sources_.listener = listener;
  sources_.http = http;
  operations_.Start();
  if (http == nullptr) return OkStatus();
  pages_ = std::make_unique<HttpPages>(
      sources_.replica, sources_.clock, sources_.info, [this] { return ReadFigures(sources_); },
      &operations_.events());
  return http->Listen([this](const http::Request& request) { return pages_->Answer(request); },
                      sources_.clock);
}

Watched NodeWatch::Look() const {
  Watched watched;
  watched.figures = ReadFigures(sources_);
  watched.turned_ago = sources_.clock->SteadyNow() - sources_.replica->last_turn();
  watched.wall_s = sources_.clock->WallNowMs() / 1000;
  return watched;
}

}  // namespace cairn::server
