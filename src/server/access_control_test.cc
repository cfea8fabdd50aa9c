#include "server/access_control.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "cairn/internal/peer.pb.h"
#include "cairn/v1/cluster.pb.h"
#include "cairn/v1/database.pb.h"
#include "cairn/v1/operations.pb.h"
#include "server/access_convert.h"
#include "server/convert.h"
#include "server/fake_replica_test_util.h"
#include "server/method_rules.h"
#include "transaction.pb.h"

namespace cairn::server {
namespace {

using state_machine::AccessRights;
using state_machine::ChangeAccess;
using testing::HasSubstr;
using Who = MethodRule::Who;
namespace privilege = state_machine::privilege;

// A state that holds these grants.
class GrantedState final : public FakeState {
 public:
  explicit GrantedState(std::vector<state_machine::Grant> grants)
      : rights_(std::make_shared<const AccessRights>(grants.empty() ? 0 : 7, grants)) {}
  state_machine::AccessRightsPtr access() const override { return rights_; }

 private:
  const state_machine::AccessRightsPtr rights_;
};

// A new method without a rule would be refused to everybody, and nobody would notice before a user.
TEST(MethodRules, EveryMethodOfEveryServiceHasOne) {
  size_t methods = 0;
  for (const google::protobuf::FileDescriptor* file :
       {v1::ExecuteRequest::descriptor()->file(), v1::StatusRequest::descriptor()->file(),
        v1::ListEventsRequest::descriptor()->file(), transaction::Empty::descriptor()->file(),
        internal::ProbeRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const google::protobuf::ServiceDescriptor* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        const std::string name = "/" + service->full_name() + "/" + service->method(m)->name();
        const std::optional<MethodRule> rule = RuleOf(name);
        ASSERT_TRUE(rule) << name;
        EXPECT_EQ(rule->who == Who::kHolder, (rule->needs.everywhere | rule->needs.somewhere) != 0)
            << name;
        EXPECT_EQ(rule->who == Who::kNode, service->full_name().starts_with("cairn.internal."))
            << name;
        ++methods;
      }
    }
  }
  EXPECT_GE(methods, 32u);
  EXPECT_FALSE(RuleOf("/cairn.v1.Database/query"));
  EXPECT_FALSE(RuleOf(""));
}

TEST(AccessControl, WithoutEnforcementEverybodyMayDoEverything) {
  const GrantedState state({});
  const AccessControl access(&state, /*enforced=*/false);
  EXPECT_TRUE(access.CheckCall("host:192.0.2.7", "/cairn.v1.Database/Backup").ok());
  EXPECT_TRUE(access.Check("host:192.0.2.7", {privilege::kAll, 0}).ok());
  EXPECT_TRUE(access.CheckRead("host:192.0.2.7", "").ok());
  EXPECT_FALSE(access.Restricts("principal:alice"));
  EXPECT_EQ(access.Of("principal:alice"), privilege::kAll);
}

TEST(AccessControl, ACallIsJudgedByItsMethod) {
  const GrantedState state({{"alice", "reader", ""}});
  const AccessControl access(&state, /*enforced=*/true);
  const auto may = [&](const char* who, const char* method) {
    return access.CheckCall(who, method).ok();
  };
  EXPECT_TRUE(may("principal:alice", "/cairn.v1.Database/Query"));
  EXPECT_TRUE(may("principal:alice", "/cairn.v1.Database/Session"));
  EXPECT_FALSE(may("principal:alice", "/cairn.v1.Database/Commit"));
  EXPECT_FALSE(may("principal:alice", "/cairn.internal.Peer/Join"));
  EXPECT_FALSE(may("principal:admin", "/cairn.internal.Peer/Join"));
  EXPECT_TRUE(may("node:3", "/cairn.internal.Peer/Join"));
  EXPECT_TRUE(may("principal:bob", "/grpc.health.v1.Health/Check"));
  EXPECT_FALSE(may("principal:bob", "/cairn.v1.Database/Session"));
  EXPECT_FALSE(may("principal:admin", "/cairn.v1.Database/Unknown"));
  EXPECT_FALSE(may("host:127.0.0.1", "/cairn.v1.Database/Query"));
  const Status denied = access.CheckCall("principal:alice", "/cairn.v1.Database/Backup");
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(denied.message(), HasSubstr("principal:alice lacks the privilege backup"));
}

TEST(AccessControl, AVersionIsToldOfTheTablesThatMayBeRead) {
  const GrantedState state({{"alice", "read", "log_*"}, {"bob", "reader", ""}});
  const AccessControl access(&state, true);
  EXPECT_TRUE(access.CheckRead("principal:alice", "LOG_a").ok());
  EXPECT_FALSE(access.CheckRead("principal:alice", "t").ok());
  EXPECT_FALSE(access.CheckRead("principal:alice", "").ok());
  EXPECT_TRUE(access.CheckRead("principal:bob", "").ok());
  EXPECT_TRUE(access.ReadsSomeAlone("principal:alice"));
  EXPECT_FALSE(access.ReadsSomeAlone("principal:bob"));
  EXPECT_TRUE(access.CheckCall("principal:alice", "/cairn.v1.Database/Query").ok());
  EXPECT_FALSE(access.CheckCall("principal:alice", "/cairn.v1.Database/Watch").ok());
}

TEST(AccessControl, CommandsAreJudgedByApplyOnceThereIsAGrant) {
  const GrantedState none({});
  EXPECT_FALSE(AccessControl(&none, true).Restricts("principal:admin"));
  const GrantedState some({{"alice", "reader", ""}});
  const AccessControl access(&some, true);
  EXPECT_TRUE(access.Restricts("principal:alice"));
  EXPECT_TRUE(access.Restricts("principal:admin"));
  EXPECT_FALSE(access.Restricts("node:1"));
}

TEST(AccessConvert, AChangeGoesToTheLeaderAsItCame) {
  v1::ExecuteRequest request;
  v1::AccessChange& change = *request.mutable_access();
  change.set_kind(v1::AccessChange::KIND_REVOKE);
  change.mutable_grant()->set_principal("alice");
  change.mutable_grant()->set_privilege("writer");
  request.mutable_request_id()->set_session("s");
  request.mutable_request_id()->set_sequence(1);
  const Result<state_machine::Command> command = ToCommand(&request);
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(std::get<ChangeAccess>(command->operation),
            (ChangeAccess{ChangeAccess::Kind::kRevoke, "alice", "writer", ""}));
  v1::SessionRequest forwarded;
  ToRequest(*command, &forwarded);
  const Result<state_machine::Command> again = ToCommand(forwarded.mutable_execute());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->operation, command->operation);
}

TEST(AccessConvert, NonsenseIsRefused) {
  const auto code = [](const std::string& principal, const std::string& privilege,
                       v1::AccessChange::Kind kind = v1::AccessChange::KIND_GRANT) {
    v1::AccessChange change;
    change.set_kind(kind);
    change.mutable_grant()->set_principal(principal);
    change.mutable_grant()->set_privilege(privilege);
    return AccessChangeOf(change).status().code();
  };
  EXPECT_EQ(code("alice", "reader"), StatusCode::kOk);
  EXPECT_EQ(code("*", "status"), StatusCode::kOk);
  EXPECT_EQ(code("", "reader"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("a/b", "reader"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("**", "reader"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("admin", "reader"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("alice", ""), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("alice", "reader", v1::AccessChange::KIND_UNSPECIFIED),
            StatusCode::kInvalidArgument);
  v1::AccessChange change;
  change.set_kind(v1::AccessChange::KIND_GRANT);
  change.mutable_grant()->set_principal("alice");
  change.mutable_grant()->set_privilege("read");
  change.mutable_grant()->set_pattern("Log_*");
  EXPECT_EQ(AccessChangeOf(change)->pattern, "log_*");
  change.mutable_grant()->set_privilege("reader");
  EXPECT_EQ(AccessChangeOf(change).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn::server
