// Applier, continued: the audit.
#include "state_machine/audit.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {
namespace {

// To hash a row and to store it takes about as long.
constexpr uint64_t kStepsPerNote = 100;

}  // namespace

Status Applier::Audit(const Command& command, const Place& place, const CommandResult& result) {
  if (level_ < kLevelDataPlatform || !result.status.ok()) return OkStatus();
  const AuditTables::Time time{IndexOfCommand(place.number), wall_ms_, lease_ms_};
  if (const auto* record = std::get_if<RecordAudit>(&command.operation)) {
    for (const AuditNote& note : record->notes) RETURN_IF_ERROR(audit_.Add(note, time));
    return OkStatus();
  }
  const std::optional<AuditNote> note = NoteOf(command);
  return note ? audit_.Add(*note, time) : OkStatus();
}

Status Applier::AuditMembers(const Entry& entry) {
  const std::optional<AuditNote> note = NoteOf(members_, *entry.config);
  members_ = *entry.config;
  if (!note || level_ < kLevelDataPlatform) return OkStatus();
  return audit_.Add(*note, {entry.entry.index, wall_ms_, lease_ms_});
}

Status Applier::ApplyRecordAudit(const Operation& operation, const Place& /*place*/,
                                 CommandResult* result) {
  if (level_ < kLevelDataPlatform) {
    result->status = FailedPrecondition("there is an audit from feature level 3 on");
    return OkStatus();
  }
  const auto& record = std::get<RecordAudit>(operation);
  result->status = CheckNotes(record);
  result->steps = record.notes.size() * kStepsPerNote;
  return OkStatus();
}

}  // namespace cairn::state_machine
