# Writes a header with a hash of the sources that decide what apply does (docs/decisions/015-rolling-upgrades.md).
# The hash is the same wherever the same sources are built, with or without git.
#
#   cmake -DROOT=repository -DOUT=header -P apply_sources.cmake
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/src/base/*.cc ${ROOT}/src/base/*.h
     ${ROOT}/src/timeseries/*.cc ${ROOT}/src/timeseries/*.h
     ${ROOT}/src/vectors/*.cc ${ROOT}/src/vectors/*.h ${ROOT}/src/state_machine/*.cc ${ROOT}/src/state_machine/*.h)
list(FILTER files EXCLUDE REGEX "_test(_util)?\\.(cc|h)$")
list(SORT files)
set(all "")
foreach(file IN LISTS files)
  file(SHA256 ${ROOT}/${file} hash)
  string(APPEND all "${file} ${hash}\n")
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 16 hash)
file(WRITE ${OUT} "#define CAIRN_APPLY_SOURCES \"${hash}\"\n")
