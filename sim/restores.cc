#include "sim/restores.h"

#include <iterator>
#include <utility>
#include <vector>

#include "base/sha256.h"

namespace cairn::sim {
namespace {

using state_machine::Command;
using state_machine::CommandResult;
using state_machine::Restore;
using Step = Restore::Step;

constexpr SteadyTime kPatience = seconds(40);
constexpr SteadyTime kAskAgain = milliseconds(400);
constexpr size_t kPieceBytes = 64 << 10;
constexpr uint32_t kWho = 0;

class Numbers final : public state_machine::RowSink {
 public:
  Status OnColumns(const std::vector<state_machine::Column>& /*columns*/) override {
    return OkStatus();
  }
  Status OnRow(state_machine::Row row) override {
    rows.push_back(std::get<int64_t>(row.front()));
    return OkStatus();
  }
  std::vector<int64_t> rows;
};

Command Statement(const std::string& sql) {
  Command command;
  command.operation = state_machine::Execute{{{sql, {}, {}}}};
  command.principal = "host:operator";
  return command;
}

std::string SumOf(const std::string& bytes) {
  Sha256 sum;
  sum.Add(bytes);
  return sum.Hex();
}

}  // namespace

Restores::Restores(World* world, const Nodes* nodes, SteadyTime every)
    : world_(world), nodes_(nodes), every_(every), rng_(world->Fork("restores")) {}

void Restores::Start() {
  if (every_ > SteadyTime(0)) ScheduleNext();
}

void Restores::ScheduleNext() {
  world_->After(Exponential(rng_, every_), Label(Kind::kCheck, kWho), [this] {
    if (!stopped_) Begin();
  });
}

Process* Restores::Draw() {
  auto node = nodes_->begin();
  std::advance(node, static_cast<int64_t>(rng_.Below(nodes_->size())));
  Process* const process = node->second->process();
  const bool answers =
      process != nullptr && !process->dead() && node->second->paused_until() <= world_->now();
  return answers ? process : nullptr;
}

void Restores::Fail(const std::string& what) {
  world_->Fail("restore " + std::to_string(round_.number) + ": " + what);
}

// ---- Steps

void Restores::Ask(Command command, Then then) { Attempt(command, then, ++step_); }

void Restores::Attempt(const Command& command, const Then& then, uint64_t step) {
  if (step != step_) return;
  if (world_->now() >= round_.give_up) return GiveUp();
  world_->After(kAskAgain, Label(Kind::kCheck, kWho), [=, this] { Attempt(command, then, step); });
  Process* const process = Draw();
  if (process == nullptr) return;
  process->Propose(command, seconds(5), [=, this](const Result<CommandResult>& result) {
    if (step != step_ || !result.ok()) return;
    if (result->status.outcome() == Outcome::kNotApplied) return;
    ++step_;
    round_.index = std::max(round_.index, result->index);
    then(*result);
  });
}

void Restores::Look(const std::function<bool(Process*, state_machine::ReadView*)>& use) {
  const uint64_t step = ++step_;
  const auto look = std::make_shared<std::function<void()>>();
  *look = [=, this, again = std::weak_ptr(look)] {
    if (step != step_) return;
    if (world_->now() >= round_.give_up) return GiveUp();
    world_->After(kAskAgain, Label(Kind::kCheck, kWho), [again = again.lock()] { (*again)(); });
    Process* const process = Draw();
    if (process == nullptr || process->state().applied_index() < round_.index) return;
    const auto view = process->state().OpenReadView(SteadyTime(0));
    if (view.ok() && (*view)->applied() >= round_.index) use(process, view->get());
  };
  (*look)();
}

void Restores::GiveUp() {
  ++step_;
  ++counts_.given_up;
  if (!stopped_) ScheduleNext();
}

Command Restores::Mark(uint64_t sequence) const {
  const uint64_t value = 2 * round_.number + sequence;
  Command command = Statement("INSERT INTO marks VALUES(" + std::to_string(value) + ")");
  command.id = {"operator-" + std::to_string(round_.number), sequence};
  return command;
}

Command Restores::StepCommand(Restore restore) const {
  Command command;
  restore.id = Name();
  command.operation = std::move(restore);
  command.principal = "host:operator";
  return command;
}

// ---- A round

void Restores::Begin() {
  const std::string last = Name();
  round_ = {round_.number + 1, world_->now() + kPatience, {}, {}, 0, 0};
  // What an earlier round has left would be in the way for ten minutes.
  Command abort = StepCommand({Step::kAbort, {}, 0, {}});
  std::get<Restore>(abort.operation).id = last;
  Ask(abort, [this](const CommandResult&) {
    Ask(Statement("CREATE TABLE IF NOT EXISTS marks(v INTEGER PRIMARY KEY)"),
        [this](const CommandResult&) {
          Ask(Mark(1), [this](const CommandResult& done) {
            if (!done.status.ok()) return GiveUp();
            MakeBackup();
          });
        });
  });
}

// The clients need their tables in the backup.
void Restores::MakeBackup() {
  Look([this](Process* process, state_machine::ReadView* view) {
    const Result<int64_t> tables = view->Version("accounts");
    if (!tables.ok() || *tables == 0) return false;
    const auto reader = process->state().OpenBackup(round_.index);
    if (!reader.ok()) return false;
    std::string bytes;
    bool whole = (*reader)->Complete([] { return true; }).ok();
    while (whole && bytes.size() < (*reader)->size_bytes()) {
      const auto piece = (*reader)->Read(bytes.size(), 1 << 20);
      whole = piece.ok();
      if (whole) bytes += *piece;
    }
    process->state().DropBackup();
    if (!whole) return false;
    round_.backup = std::move(bytes);
    WriteLost();
    return true;
  });
}

void Restores::WriteLost() {
  Ask(Mark(2), [this](const CommandResult& done) {
    if (!done.status.ok()) return GiveUp();
    NoteVersions();
  });
}

void Restores::NoteVersions() {
  Look([this](Process*, state_machine::ReadView* view) {
    const Result<int64_t> all = view->Version("");
    const Result<int64_t> marks = view->Version("marks");
    if (!all.ok() || !marks.ok()) return false;
    round_.version = *all;
    round_.marks_version = *marks;
    Ask(StepCommand({Step::kBegin, {}, round_.backup.size(), SumOf(round_.backup)}),
        [this](const CommandResult& begun) {
          // Below level 3, or while the abort of an earlier round is on its way.
          if (!begun.status.ok()) return GiveUp();
          SendPiece(0);
        });
    return true;
  });
}

void Restores::SendPiece(size_t at) {
  if (at >= round_.backup.size()) return Finish();
  Ask(StepCommand({Step::kPiece, {}, at, round_.backup.substr(at, kPieceBytes)}),
      [this, at](const CommandResult& taken) {
        if (!taken.status.ok()) return Fail("a piece was refused: " + taken.status.ToString());
        SendPiece(at + kPieceBytes);
      });
}

void Restores::Finish() {
  Ask(StepCommand({Step::kFinish, {}, 0, {}}), [this](const CommandResult& done) {
    if (!done.status.ok()) return Fail("it was refused: " + done.status.ToString());
    CheckState();
  });
}

void Restores::CheckState() {
  Look([this](Process*, state_machine::ReadView* view) {
    const auto value = static_cast<int64_t>(2 * round_.number + 1);
    Numbers marks;
    const std::string sql = "SELECT v FROM marks WHERE v >= " + std::to_string(value);
    if (!view->Query({sql, {}, {}}, {}, &marks).ok()) return false;
    const Result<int64_t> all = view->Version("");
    const Result<int64_t> of_marks = view->Version("marks");
    if (!all.ok() || !of_marks.ok()) return false;
    if (marks.rows != std::vector<int64_t>{value}) Fail("the rows are not those of the backup");
    if (*all <= round_.version || *of_marks <= round_.marks_version) Fail("a version went back");
    ++counts_.restored;
    CheckRefused(1);
    return true;
  });
}

void Restores::CheckRefused(uint64_t sequence) {
  round_.give_up = world_->now() + kPatience;
  Ask(Mark(sequence), [this, sequence](const CommandResult& answer) {
    if (answer.status.ok() || answer.status.outcome() != Outcome::kUnknown) {
      Fail("a request from before was answered " + answer.status.ToString());
    }
    ++counts_.refused;
    if (sequence == 1) return CheckRefused(2);
    if (!stopped_) ScheduleNext();
  });
}

}  // namespace cairn::sim
