// Planted bugs are patches (sim/plants; docs/internals/simulator.md). CAIRN_PLANTED marks a bug that
// is not a patch yet. The build of the planted bugs compiles it, but scripts/plants does not look for
// it.
#pragma once

#define CAIRN_PLANTED(name) false
