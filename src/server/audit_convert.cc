#include "server/audit_convert.h"

#include <string>

#include "rpc/proto_convert.h"
#include "server/convert.h"

namespace cairn::server {

void ToProto(const state_machine::AuditNote& note, v1::AuditNote* out) {
  out->set_kind(rpc::Utf8OrQuestionMarks(note.kind));
  out->set_principal(note.principal);
  out->set_address(note.address);
  out->set_text(note.text);
  out->set_count(note.count);
}

Result<state_machine::RecordAudit> RecordOf(const v1::AuditNotes& notes) {
  if (notes.notes_size() == 0 ||
      notes.notes_size() > static_cast<int>(state_machine::kAuditNotesMax)) {
    return InvalidArgument("1 to 16 notes are added to the audit at a time");
  }
  state_machine::RecordAudit record;
  for (const v1::AuditNote& note : notes.notes()) {
    for (const std::string* text :
         {&note.kind(), &note.principal(), &note.address(), &note.text()}) {
      if (text->size() <= state_machine::kAuditTextBytesMax) continue;
      return InvalidArgument("a text of a note for the audit is too long");
    }
    record.notes.push_back(
        {note.kind(), note.principal(), note.address(), note.text(), note.count()});
  }
  RETURN_IF_ERROR(state_machine::CheckNotes(record));
  return record;
}

AuditRequest FromProto(const v1::ListAuditRequest& request) {
  AuditRequest out;
  for (const state_machine::AuditChain chain : state_machine::kAuditChains) {
    if (ToProto(chain) == request.chain()) out.query.chain = chain;
  }
  out.query.after = request.after();
  out.read = FromProto(request.read());
  out.timeout_ms = request.timeout_ms();
  return out;
}

Status ToResponse(const AuditAnswer& answer, v1::ListAuditResponse* out) {
  for (const state_machine::AuditRow& row : answer.page.rows) {
    v1::AuditRow* const message = out->add_rows();
    message->set_number(row.number);
    message->set_wall_ms(row.wall_ms);
    message->set_lease_ms(row.lease_ms);
    message->set_entry(row.entry);
    ToProto(row.note, message->mutable_note());
    message->set_hash(row.hash);
  }
  out->mutable_head()->set_rows(answer.page.head.rows);
  out->mutable_head()->set_hash(answer.page.head.hash);
  out->mutable_head()->set_cut(answer.page.head.cut);
  out->mutable_head()->set_cut_hash(answer.page.head.cut_hash);
  out->set_index(answer.index.value());
  return OkStatus();
}

v1::ListAuditRequest::Chain ToProto(state_machine::AuditChain chain) {
  switch (chain) {
    case state_machine::AuditChain::kDenied: return v1::ListAuditRequest::CHAIN_DENIED;
    case state_machine::AuditChain::kAsked: return v1::ListAuditRequest::CHAIN_ASKED;
    case state_machine::AuditChain::kChanges: break;
  }
  return v1::ListAuditRequest::CHAIN_CHANGES;
}

state_machine::AuditPage PageOf(const v1::ListAuditResponse& message) {
  state_machine::AuditPage page;
  page.head = {message.head().rows(), message.head().hash(), message.head().cut(),
               message.head().cut_hash()};
  for (const v1::AuditRow& row : message.rows()) {
    const v1::AuditNote& note = row.note();
    page.rows.push_back({row.number(),
                         row.wall_ms(),
                         row.lease_ms(),
                         row.entry(),
                         {note.kind(), note.principal(), note.address(), note.text(), note.count()},
                         row.hash()});
  }
  return page;
}

}  // namespace cairn::server
