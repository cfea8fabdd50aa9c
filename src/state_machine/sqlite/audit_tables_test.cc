// The audit as replicated rows, and what a check of its chains finds.
#include "state_machine/sqlite/audit_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/restore_into_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::HasSubstr;
using Kind = ChangeAccess::Kind;

Command Grant(std::string principal) {
  Command command;
  command.operation = ChangeAccess{Kind::kGrant, std::move(principal), "reader", ""};
  command.principal = "principal:alice";
  command.address = "192.0.2.7";
  return command;
}

Command Record(std::string kind, std::string text, uint64_t count = 1) {
  Command command;
  command.operation =
      RecordAudit{{{std::move(kind), "principal:eve", "192.0.2.9", std::move(text), count}}};
  command.principal = "node:1";
  return command;
}

class AuditTest : public RestoreIntoTest {
 protected:
  AuditPage Page(AuditChain chain, uint64_t after = 0) {
    auto view = cluster_.first().machine().OpenReadView(std::chrono::seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    auto page = (*view)->Audit({chain, after});
    EXPECT_TRUE(page.ok()) << page.status();
    return *std::move(page);
  }
  std::vector<std::string> Texts(AuditChain chain) {
    std::vector<std::string> texts;
    for (const AuditRow& row : Page(chain).rows) texts.push_back(row.note.text);
    return texts;
  }
  Status Verify(AuditChain chain, const std::string& anchor = "") {
    AuditCheck check;
    if (!anchor.empty()) RETURN_IF_ERROR(check.Seek(anchor));
    for (;;) {
      const AuditPage page = Page(chain, check.after());
      RETURN_IF_ERROR(check.Add(page));
      if (page.rows.empty()) return check.Finish();
    }
  }
};

TEST_F(AuditTest, TellsWhoChangedWhatAndFromWhere) {
  ASSERT_TRUE(cluster_.Do(Grant("bob")).status.ok());
  const AuditPage page = Page(AuditChain::kChanges);
  ASSERT_EQ(page.rows.size(), 2u);
  EXPECT_EQ(page.rows[0].note.text, "feature level 3");
  EXPECT_EQ(page.rows[1].note,
            (AuditNote{"security", "principal:alice", "192.0.2.7", "grant reader to 'bob'", 1}));
  EXPECT_TRUE(Verify(AuditChain::kChanges).ok());
  cluster_.Check();
}

TEST_F(AuditTest, WhatWasRefusedIsNoChangeAndWhatIsRepeatedIsOne) {
  EXPECT_FALSE(cluster_.Do(Grant("")).status.ok());
  ASSERT_TRUE(cluster_.Do(WithId(Grant("bob"), "s", 1)).status.ok());
  ASSERT_TRUE(cluster_.Do(WithId(Grant("bob"), "s", 1)).status.ok());
  EXPECT_EQ(Texts(AuditChain::kChanges).size(), 2u);
  cluster_.Check();
}

// A statement that was compiled before runs without a savepoint. When it fails and leaves rows, the batch
// is undone, the rows of the audit too, and begins anew.
TEST_F(AuditTest, ABatchThatIsDoneOverHasItsRowsOnce) {
  const std::string insert = "INSERT OR FAIL INTO t VALUES(?1), (?2)";
  cluster_.Must("CREATE TABLE t(a UNIQUE)");
  ASSERT_TRUE(cluster_.Do(Grant("alice")).status.ok());
  cluster_.Must(insert, {int64_t{1}, int64_t{10}});
  const auto results = cluster_.DoAll(
      {Grant("bob"), ExecuteCommand(insert, {int64_t{2}, int64_t{1}}), Grant("carol")});
  EXPECT_FALSE(results.at(1).status.ok());
  const AuditPage page = Page(AuditChain::kChanges);
  EXPECT_EQ(page.head.rows, 4u);
  ASSERT_EQ(page.rows.size(), 4u);
  EXPECT_EQ(page.rows[2].note.text, "grant reader to 'bob'");
  EXPECT_EQ(page.rows[3].note.text, "grant reader to 'carol'");
  EXPECT_TRUE(Verify(AuditChain::kChanges).ok());
  cluster_.Check();
}

TEST_F(AuditTest, RefusalsHaveAChainOfTheirOwn) {
  ASSERT_TRUE(cluster_.Do(Record("denied", "lacks backup", 17)).status.ok());
  const AuditPage page = Page(AuditChain::kDenied);
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_EQ(page.rows[0].number, 1u);
  EXPECT_EQ(page.rows[0].note.count, 17u);
  EXPECT_EQ(Page(AuditChain::kChanges).head.rows, 1u);
  EXPECT_TRUE(Verify(AuditChain::kDenied).ok());
  cluster_.Check();
}

TEST_F(AuditTest, KeysAndTokensAreTold) {
  for (const auto& [kind, told] :
       {std::pair(Kind::kTrustKey, "trust key 'k1', " + std::string(64, 'a')),
        std::pair(Kind::kRevokeToken, std::string("revoke token 'k1'")),
        std::pair(Kind::kRevokeTokens, std::string("revoke tokens of 'k1'")),
        std::pair(Kind::kDistrustKey, std::string("distrust key 'k1'"))}) {
    Command command;
    command.operation =
        ChangeAccess{kind, "k1", kind == Kind::kTrustKey ? std::string(64, 'a') : "", "", 1};
    const CommandResult done = cluster_.Do(command);
    ASSERT_TRUE(done.status.ok()) << done.status;
    EXPECT_EQ(Texts(AuditChain::kChanges).back(), told);
  }
  cluster_.Check();
}

TEST_F(AuditTest, NodesAloneAddToIt) {
  Command forged = Record("security", "grant admin to 'mallory'");
  forged.principal = "principal:admin";
  forged.restricted = true;
  EXPECT_EQ(cluster_.Do(forged).status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(Page(AuditChain::kChanges).head.rows, 1u);
  cluster_.Check();
}

TEST_F(AuditTest, MaintenanceIsToldWithoutItsText) {
  cluster_.Must("CREATE TABLE t(a)");
  cluster_.Maintain("INSERT INTO t VALUES('secret')");
  EXPECT_EQ(Texts(AuditChain::kChanges).back(), "maintenance: INSERT");
  cluster_.Check();
}

TEST_F(AuditTest, LowerLevelsHaveNone) {
  Replicas old;
  EXPECT_EQ(old.Do(Record("denied", "x")).status.code(), StatusCode::kFailedPrecondition);
  old.Must("CREATE TABLE t(a)");
  old.Check();
}

TEST_F(AuditTest, NoClientReadsOrWritesIt) {
  cluster_.Must("CREATE TABLE t(a)");
  for (const char* table : {"_cairn_audit", "_CAIRN_audit_heads"}) {
    const std::string name(table);
    EXPECT_FALSE(cluster_.Execute("INSERT INTO t SELECT 1 FROM " + name).status.ok());
    EXPECT_FALSE(cluster_.Execute("DELETE FROM " + name).status.ok());
    EXPECT_FALSE(cluster_.Execute("DROP TABLE " + name).status.ok());
  }
  cluster_.Check();
}

TEST_F(AuditTest, ARestoreLeavesTheAuditOfTheClusterAndAddsRows) {
  const std::string backup = Backup();
  ASSERT_TRUE(cluster_.Do(Grant("bob")).status.ok());
  RestoreAll("r1", backup);
  const std::vector<std::string> texts = Texts(AuditChain::kChanges);
  ASSERT_EQ(texts.size(), 4u);
  EXPECT_EQ(texts[1], "grant reader to 'bob'");
  EXPECT_THAT(texts[2], HasSubstr("begin 'r1'"));
  EXPECT_EQ(texts[3], "finish 'r1'");
  EXPECT_TRUE(Verify(AuditChain::kChanges).ok());
  cluster_.Check();
}

TEST_F(AuditTest, AnOldHeadIsFoundForAsLongAsTheChainReachesBack) {
  ASSERT_TRUE(cluster_.Do(Grant("bob")).status.ok());
  const std::string anchor = HeadText(Page(AuditChain::kChanges).head);
  for (int i = 0; i < 700; ++i) {
    ASSERT_TRUE(cluster_.Do(Grant("p" + std::to_string(i))).status.ok());
  }
  EXPECT_TRUE(Verify(AuditChain::kChanges, anchor).ok());  // by more than one page
  std::string other = anchor;
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_EQ(Verify(AuditChain::kChanges, other).code(), StatusCode::kDataLoss);
  const std::string later = "900:" + std::string(64, 'a');
  EXPECT_EQ(Verify(AuditChain::kChanges, later).code(), StatusCode::kDataLoss);
  for (const char* nonsense : {"", "x", "5", "5:abc", "0:", "-1:abc"}) {
    AuditCheck check;
    EXPECT_EQ(check.Seek(nonsense).code(), StatusCode::kInvalidArgument) << nonsense;
  }
  cluster_.Check();
}

TEST_F(AuditTest, WhatIsTooOldGoesAndTheRestIsStillAChain) {
  ASSERT_TRUE(cluster_.Do(Grant("bob")).status.ok());
  const std::string anchor = HeadText(Page(AuditChain::kChanges).head);
  cluster_.header.lease_ms += kAuditBounds.age_ms_max + 1;
  // In one entry with another row, and so within one SQLite transaction.
  for (const CommandResult& each : cluster_.DoAll({Grant("carol"), Grant("dave")})) {
    ASSERT_TRUE(each.status.ok()) << each.status;
  }
  const AuditPage page = Page(AuditChain::kChanges);
  EXPECT_EQ(page.head.cut, 2u);
  ASSERT_EQ(page.rows.size(), 2u);
  EXPECT_EQ(page.rows[0].number, 3u);
  EXPECT_TRUE(Verify(AuditChain::kChanges).ok());
  EXPECT_TRUE(Verify(AuditChain::kChanges, anchor).ok());  // the last that was cut
  ASSERT_TRUE(cluster_.Do(Grant("erin")).status.ok());
  const std::string older = "1:" + std::string(64, 'a');
  AuditCheck check;
  ASSERT_TRUE(check.Seek(older).ok());
  ASSERT_TRUE(check.Seek(anchor).ok());
  ASSERT_TRUE(check.Add(Page(AuditChain::kChanges)).ok());
  EXPECT_TRUE(check.Finish().ok());
  EXPECT_EQ(check.too_old(), 1u) << "an old head says nothing against the rows behind it";
  EXPECT_EQ(check.found(), 1u);
  cluster_.Check();
}

TEST_F(AuditTest, SoManyRefusalsAreKeptAndNoMore) {
  std::vector<Command> records;
  for (uint64_t i = 0; i < kAuditBounds.rows_max / kAuditNotesMax + 4; ++i) {
    RecordAudit record;
    record.notes.assign(kAuditNotesMax, {"denied", "principal:eve", "", "no", i});
    Command command;
    command.operation = std::move(record);
    records.push_back(std::move(command));
    if (records.size() == 400) cluster_.DoAll(std::exchange(records, {}));
  }
  cluster_.DoAll(records);
  const AuditHead head = Page(AuditChain::kDenied).head;
  EXPECT_EQ(head.rows - head.cut, kAuditBounds.rows_max);
  EXPECT_EQ(Page(AuditChain::kChanges).head.cut, 0u);
  EXPECT_TRUE(Verify(AuditChain::kDenied).ok());
  cluster_.Check();
}

// Any client of a node without TLS could write that admin had granted something.
TEST_F(AuditTest, ANodeSaysWhoAskedAndWhoWasRefusedAndNothingElse) {
  const auto say = [this](const std::string& kind) {
    Command command;
    command.operation = RecordAudit{{{kind, "principal:admin", "10.0.0.1", "grant admin", 1}}};
    return cluster_.Do(std::move(command)).status.code();
  };
  EXPECT_EQ(say("security"), StatusCode::kInvalidArgument);
  EXPECT_EQ(say("anything"), StatusCode::kInvalidArgument);
  EXPECT_EQ(say("asked"), StatusCode::kOk);
  EXPECT_EQ(say("denied"), StatusCode::kOk);
  EXPECT_EQ(Page(AuditChain::kAsked).rows.size(), 1u);
  EXPECT_EQ(Page(AuditChain::kDenied).rows.size(), 1u);
  EXPECT_TRUE(Verify(AuditChain::kAsked).ok());
  cluster_.Check();
}

// An address of 300 letters made a command that no node could read: all stopped for good.
TEST_F(AuditTest, WhatIsTooLongIsCutBeforeItIsInTheLog) {
  std::string text(kAuditTextBytesMax - 1, 'x');
  Command command;
  command.operation = RecordAudit{{{"asked", "principal:a", "", text + "\xc3\xa4" + text, 1}}};
  const Result<Command> read = DecodeCommand(EncodeCommand(command));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::get<RecordAudit>(read->operation).notes.at(0).text, text);
  ASSERT_TRUE(cluster_.Do(command).status.ok());
  EXPECT_EQ(Texts(AuditChain::kAsked), std::vector<std::string>{text});
  cluster_.Check();
}

// ---- What a check finds

class AuditCheckTest : public testing::Test {
 protected:
  AuditCheckTest() {
    for (uint64_t i = 1; i <= 5; ++i) {
      AuditRow row{i, 1'700'000'000'000, 5, i, {"security", "a", "b", "c", 1}, ""};
      row.hash = HashOf(page_.head.hash, row);
      page_.head.rows = i;
      page_.head.hash = row.hash;
      page_.rows.push_back(row);
    }
  }
  static Status Check(const AuditPage& page) {
    AuditCheck check;
    RETURN_IF_ERROR(check.Add(page));
    return check.Finish();
  }
  AuditPage page_;
};

TEST_F(AuditCheckTest, AWholeChainIsOne) { EXPECT_TRUE(Check(page_).ok()); }

TEST_F(AuditCheckTest, AnyFieldThatIsChangedIsFound) {
  const std::vector<void (*)(AuditRow*)> changes = {
      [](AuditRow* row) { ++row->wall_ms; },
      [](AuditRow* row) { ++row->lease_ms; },
      [](AuditRow* row) { ++row->entry; },
      [](AuditRow* row) { ++row->note.count; },
      [](AuditRow* row) { row->note.kind += "x"; },
      [](AuditRow* row) { row->note.principal += "x"; },
      [](AuditRow* row) { row->note.address = ""; },
      [](AuditRow* row) { row->note.text = "bc"; },
      [](AuditRow* row) { row->hash[0] ^= 1; },
  };
  for (const auto change : changes) {
    AuditPage page = page_;
    change(&page.rows[2]);
    EXPECT_EQ(Check(page).code(), StatusCode::kDataLoss);
  }
}

TEST_F(AuditCheckTest, RowsThatAreMissingAreFound) {
  for (size_t i = 0; i < page_.rows.size(); ++i) {
    AuditPage page = page_;
    page.rows.erase(page.rows.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(Check(page).code(), StatusCode::kDataLoss) << i;
  }
}

TEST_F(AuditCheckTest, ARowThatIsAddedIsFound) {
  AuditPage page = page_;
  page.rows.push_back(page.rows.back());
  ++page.rows.back().number;
  EXPECT_EQ(Check(page).code(), StatusCode::kDataLoss);
  page.rows.back().hash = HashOf(page.head.hash, page.rows.back());
  EXPECT_EQ(Check(page).code(), StatusCode::kDataLoss);  // not of the head
}

// ---- Members

TEST(AuditOfMembers, TellsOfRolesAndNotOfRestarts) {
  raft::Configuration before = TestConfiguration();
  raft::Configuration after = before;
  for (auto& [id, info] : after.info) info.boot.count += 1;
  EXPECT_FALSE(NoteOf(before, after).has_value());
  after.learners.insert(MemberId(9));
  after.info[MemberId(9)].node_id = 4;
  const auto note = NoteOf(before, after);
  ASSERT_TRUE(note.has_value());
  EXPECT_EQ(note->kind, audit_kind::kMembership);
  EXPECT_THAT(note->text, HasSubstr("learners 4"));
}

}  // namespace
}  // namespace cairn::state_machine
