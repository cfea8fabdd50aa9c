// Brings a file of an older version to the present format, when it is opened.
#pragma once

#include <string>

#include "base/status.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {

// The format of Cairn 0.1.
inline constexpr int kDataFormatOf01 = 2;

// Of a file of the format before the present one: every part of Cairn's tables that has changed
// is converted by its step (data_conversion.cc), and the format is set, in one transaction. So a crash
// leaves the old file or the new one. Nothing is synced: until the first checkpoint a power cut
// may bring the old file back, which is then converted again.
//
// A step leaves its tables as a new file has them, the text of their schema included: the digest of
// the state covers both.
Status ConvertDataFile(const Storage& storage, const std::string& path);

}  // namespace cairn::state_machine
