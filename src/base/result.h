// Result<T> for Cairn's own code: the public type, and the macro that unpacks it.
#pragma once

#include "base/status.h"

// ASSIGN_OR_RETURN(auto x, F());   F returns a Result; on error the macro returns its Status.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(CAIRN_CONCAT(result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                          \
  if (!result.ok()) return result.status();      \
  lhs = std::move(result).value()
