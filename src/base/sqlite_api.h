// The SQLite API, as a program sees it that links SQLite, or as a loadable extension does
// (CAIRN_LOADABLE_EXTENSION): such an extension calls SQLite through a table of functions.
#pragma once

#ifdef CAIRN_LOADABLE_EXTENSION
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#else
#include <sqlite3.h>
#endif
