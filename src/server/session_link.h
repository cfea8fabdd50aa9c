// Links of a Router over Session streams of gRPC.
#pragma once

#include <cstddef>

#include "base/clock.h"
#include "rpc/timer_queue.h"
#include "security/tls.h"
#include "server/write_link.h"

namespace cairn::server {

// Past either bound on the unanswered writes of one link, a write is refused. `timers` and `clock`
// must outlive the links. `tls`: how nodes are called; null: without TLS.
OpenWriteLink SessionLinks(security::TlsPtr tls, rpc::TimerQueue* timers, Clock* clock,
                           size_t writes_max, size_t write_bytes_max);

}  // namespace cairn::server
