#include "server/api.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/limits.h"
#include "state_machine/command_access.h"
#include "state_machine/feature_level.h"

namespace cairn::server {

using state_machine::Command;
using state_machine::CommandResult;
namespace privilege = state_machine::privilege;

namespace {

// A text that takes longer to compile is not one of a query that is asked again and again.
constexpr SteadyTime kCompileMax = std::chrono::seconds(1);

Result<SourcesAnswer> SourcesIn(state_machine::ReadView* view, const SourcesRequest& request,
                                std::function<bool()> gone) {
  if (gone()) return Cancelled("the client has gone");
  SourcesAnswer answer;
  answer.index = view->applied();
  ASSIGN_OR_RETURN(const int64_t schema_version, view->SchemaVersion());
  if (request.known && request.known->schema_version == schema_version) {
    answer.sources = *request.known;
  } else {
    state_machine::QueryLimits limits;
    limits.duration_max = kCompileMax;
    limits.cancelled = std::move(gone);
    ASSIGN_OR_RETURN(answer.sources, view->SourcesOf(request.sql, limits));
  }
  for (const std::string& table : answer.sources.tables) {
    ASSIGN_OR_RETURN(const int64_t version, view->Version(table));
    answer.versions.push_back(version);
  }
  return answer;
}

}  // namespace

Api::Api(node::Replica* replica, Router* router, ReadPool* reads, LongReads* long_reads,
         Clock* clock, Options options)
    : replica_(replica),
      router_(router),
      reads_(reads),
      long_reads_(long_reads),
      clock_(clock),
      options_(options) {}

Status Api::Check(const CallContext& context, const state_machine::Needs& needs) const {
  if (options_.access == nullptr) return OkStatus();
  return Told(context, options_.access->Check(context.principal, needs));
}

// The node that a client asks counts the refusal.
Status Api::Told(const CallContext& context, Status status) const {
  const bool counts = options_.refusals != nullptr && options_.access != nullptr &&
                      options_.access->enforced() && !context.forwarded;
  if (counts && status.code() == StatusCode::kPermissionDenied) {
    options_.refusals->Count(context.principal, context.address, status.message());
  }
  return status;
}

// Asked when the view is there, because a revocation may have been applied while the read waited for
// it, and then again and again.
std::function<Status(state_machine::ReadView*, const std::string& sql)> Api::MayRun(
    const CallContext& context) const {
  const AccessControl* const access = options_.access;
  if (access == nullptr || !access->enforced()) return nullptr;
  auto judged_by = std::make_shared<std::atomic<uint64_t>>(0);
  return [this, access, judged_by, context, began = access->rights()](state_machine::ReadView* view,
                                                                      const std::string& sql) {
    if (view == nullptr && *judged_by == access->generation()) return OkStatus();
    const std::string& principal = context.principal;
    const state_machine::AccessRightsPtr now = access->rights();
    RETURN_IF_ERROR(Told(context, access->Check(principal, {0, privilege::kRead})));
    if (view != nullptr) {
      RETURN_IF_ERROR(Told(context, access->CheckQuery(principal, view, sql)));
    } else if (access->ReadsSomeAlone(principal) && !began->SameFor(principal, *now)) {
      return Aborted("what " + principal + " may read has changed while the query ran");
    }
    *judged_by = now->generation();
    return OkStatus();
  };
}

SteadyTime Api::DeadlineOf(uint32_t timeout_ms, const CallContext& context) const {
  std::chrono::milliseconds timeout = options_.request_timeout;
  if (timeout_ms != 0) timeout = std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  return std::min<SteadyTime>(clock_->SteadyNow() + timeout, context.deadline);
}

void Api::Write(Result<Command> command, uint32_t timeout_ms, const CallContext& context,
                node::CommandDone done) {
  done = Counted(context.forwarded ? Method::kForwardedWrite : Method::kWrite, std::move(done));
  if (!command.ok()) return done(command.status());
  if (command->id.empty() && context.request_id) command->id = *context.request_id;
  command->principal = context.principal;
  command->named_by = context.named_by;
  auto* const change = std::get_if<state_machine::ChangeAccess>(&command->operation);
  if (change != nullptr && change->kind >= state_machine::ChangeAccess::Kind::kTrustKey &&
      change->time_s == 0) {
    change->time_s =
        static_cast<uint64_t>(options_.now_s ? options_.now_s() : clock_->WallNowMs() / 1000);
  }
  if (Status bad = state_machine::CheckRequestId(*command); !bad.ok()) return done(std::move(bad));
  if (Status denied = Check(context, state_machine::NeededBy(*command)); !denied.ok()) {
    return done(std::move(denied));
  }
  // The level never falls.
  if (state_machine::IsAudited(command->operation) &&
      replica_->status().level >= state_machine::kLevelDataPlatform) {
    command->address = context.address.substr(0, state_machine::kAddressBytesMax);
  }
  command->restricted =
      options_.access != nullptr && options_.access->Restricts(command->principal);
  if (Status bad = replica_->state().CheckProposal(*command); !bad.ok()) {
    return done(std::move(bad).With(Outcome::kNotApplied));
  }
  Origin origin = Origin::kClient;
  if (context.forwarded) origin = context.relayed ? Origin::kRelay : Origin::kForwarder;
  router_->Write(
      *std::move(command), DeadlineOf(timeout_ms, context), origin,
      [this, context, done = std::move(done)](Result<CommandResult> result) {
        // A replicated failure is an error to the caller, of a known outcome.
        if (!result.ok() || result->status.ok()) return done(std::move(result));
        Status failure = Told(context, std::move(result->status));
        if (failure.outcome() == Outcome::kNone) {
          failure = std::move(failure).With(Outcome::kApplied);
        }
        done(std::move(failure));
      },
      context.gone);
}

ReadTask Api::TaskOf(const node::ReadOptions& read, uint32_t timeout_ms, size_t bytes,
                     const CallContext& context) const {
  ReadTask task;
  task.options = read;
  task.deadline = DeadlineOf(timeout_ms, context);
  task.bytes = bytes;
  task.connection = context.connection;
  task.principal = context.principal;
  task.gone = context.gone;
  return task;
}

void Api::GetVersion(VersionRequest request, const CallContext& context, Done<VersionAnswer> done) {
  done = Counted(Method::kVersion, std::move(done));
  const auto may = [this, access = options_.access, context, table = request.table] {
    return access == nullptr ? OkStatus()
                             : Told(context, access->CheckRead(context.principal, table));
  };
  if (Status denied = may(); !denied.ok()) return done(denied);
  ReadTask task = TaskOf(request.read, request.timeout_ms, request.table.size(), context);
  task.run = [table = std::move(request.table), may,
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    if (Status denied = may(); !denied.ok()) return done(denied);  // see MayRun
    const Result<int64_t> version = (*view)->Version(table);
    if (!version.ok()) return done(version.status());
    done(VersionAnswer{*version, (*view)->applied()});
  };
  reads_->Submit(std::move(task));
}

void Api::GetTransaction(TransactionRequest request, const CallContext& context,
                         Done<TransactionAnswer> done) {
  done = Counted(Method::kTransaction, std::move(done));
  if (Status denied = Check(context, {0, privilege::kWrite}); !denied.ok()) return done(denied);
  ReadTask task = TaskOf(request.read, request.timeout_ms, request.tx_id.size(), context);
  task.run = [this, tx_id = std::move(request.tx_id), context,
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    if (Status denied = Check(context, {0, privilege::kWrite}); !denied.ok()) return done(denied);
    const Result<state_machine::TxInfo> info = (*view)->Transaction(tx_id);
    if (!info.ok()) return done(info.status());
    if (!state_machine::IsSamePrincipal(info->owner, context.principal)) {
      return done(PermissionDenied("the transaction is that of another principal"));
    }
    done(TransactionAnswer{*info, (*view)->applied()});
  };
  reads_->Submit(std::move(task));
}

void Api::ListRetained(const RetainedRequest& request, const CallContext& context,
                       Done<RetainedAnswer> done) {
  done = Counted(Method::kRetained, std::move(done));
  if (Status denied = Check(context, {privilege::kRead, 0}); !denied.ok()) return done(denied);
  ReadTask task = TaskOf(request.read, request.timeout_ms, 0, context);
  task.run = [this, context, done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    if (Status denied = Check(context, {privilege::kRead, 0}); !denied.ok()) return done(denied);
    auto settings = (*view)->RetainedSettings();
    if (!settings.ok()) return done(settings.status());
    done(RetainedAnswer{*std::move(settings), (*view)->applied()});
  };
  reads_->Submit(std::move(task));
}

void Api::ListAccess(const AccessRequest& request, const CallContext& context,
                     Done<AccessAnswer> done) {
  ReadTask task = TaskOf(request.read, request.timeout_ms, 0, context);
  task.run = [this, principal = context.principal,
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    const state_machine::AccessRightsPtr rights = replica_->state().access();
    AccessAnswer answer;
    answer.principal = principal;
    answer.enforced = options_.access != nullptr && options_.access->enforced();
    answer.privileges =
        answer.enforced ? rights->Of(principal) : state_machine::Privileges{privilege::kAll};
    const bool all = (answer.privileges & privilege::kSecurity) != 0;
    for (const state_machine::Grant& grant : rights->grants()) {
      const bool own = principal.starts_with(state_machine::kNamedPrefix) &&
                       state_machine::ParseNamed(principal).name == grant.principal;
      if (all || own || grant.principal == state_machine::kEverybody) {
        answer.grants.push_back(grant);
      }
    }
    if (all) answer.tokens = rights->tokens();
    answer.index = (*view)->applied();
    done(std::move(answer));
  };
  reads_->Submit(std::move(task));
}

void Api::ListAudit(const AuditRequest& request, const CallContext& context,
                    Done<AuditAnswer> done) {
  if (Status denied = Check(context, {privilege::kSecurity, 0}); !denied.ok()) return done(denied);
  ReadTask task = TaskOf(request.read, request.timeout_ms, 0, context);
  task.run = [this, query = request.query, context,
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    if (Status denied = Check(context, {privilege::kSecurity, 0}); !denied.ok()) {
      return done(denied);
    }
    Result<state_machine::AuditPage> page = (*view)->Audit(query);
    if (!page.ok()) return done(page.status());
    done(AuditAnswer{*std::move(page), (*view)->applied()});
  };
  reads_->Submit(std::move(task));
}

void Api::GetSources(SourcesRequest request, const CallContext& context, Done<SourcesAnswer> done) {
  done = Counted(Method::kSources, std::move(done));
  if (Status denied = Check(context, {0, privilege::kRead}); !denied.ok()) return done(denied);
  ReadTask task = TaskOf(request.read, request.timeout_ms, request.sql.size(), context);
  task.run = [request = std::move(request), done = std::move(done), may_run = MayRun(context),
              gone = context.gone](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    if (may_run) {
      if (Status denied = may_run(*view, request.sql); !denied.ok()) return done(denied);
    }
    done(SourcesIn(*view, request, [&gone] { return gone != nullptr && *gone; }));
  };
  reads_->Submit(std::move(task));
}

void Api::ReadRetained(state_machine::RetainedQuery query, const std::string& principal,
                       Done<state_machine::RetainedPage> done) {
  done = Counted(Method::kRetained, std::move(done));
  ReadTask task;
  task.options.level = node::ReadLevel::kStale;
  task.deadline = clock_->SteadyNow() + options_.request_timeout;
  task.principal = principal;
  task.run = [query = std::move(query),
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    done((*view)->Retained(query));
  };
  reads_->Submit(std::move(task));
}

void Api::Query(QueryRequest request, const CallContext& context,
                std::shared_ptr<QueryConsumer> consumer) {
  if (Status denied = Check(context, {0, privilege::kRead}); !denied.ok()) {
    return consumer->End(denied);
  }
  ReadTask read = TaskOf(request.read, request.timeout_ms, request.bytes, context);
  QueryTask::Limits limits;
  limits.deadline = read.deadline;
  limits.age_max = options_.query_age_max;
  limits.gone = context.gone;
  limits.principal = context.principal;
  limits.may_run = MayRun(context);
  limits.memory = options_.queries;
  limits.stopping = &long_reads_->stopping();
  if (RequestCounts* const counts = options_.counts; counts != nullptr) {
    counts->Begin(Method::kQuery);
    limits.ended = [counts, clock = clock_, began = clock_->SteadyNow()](const Status& status) {
      counts->End(Method::kQuery, clock->SteadyNow() - began, status);
    };
  }
  auto query = std::make_shared<QueryTask>(clock_, std::move(request), context.connection,
                                           std::move(limits), std::move(consumer));
  read.run = [this, query = std::move(query)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return query->End(view.status());
    if (!query->RunShort(*view)) long_reads_->Submit(query);
  };
  reads_->Submit(std::move(read));
}

}  // namespace cairn::server
