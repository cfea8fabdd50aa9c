# Debian's C++ libraries, linked statically where Debian has the archive.
#
# A call into a shared library goes through a table of addresses, and a request makes thousands of
# such calls (docs/decisions/019-static-libraries.md). What reads certificates, names and compressed
# data from the network stays shared, so that the system's security updates reach it.
set(CAIRN_SHARED_LIBRARIES ssl crypto cares z)

# cairn_static_libraries(target MODULES module... [LIBRARIES name...])
#
# Makes the interface library `target` of the pkg-config modules and what they need, and of libraries
# that need the modules and have none of their own. The sanitizers get shared libraries:
# cmake/tsan.supp names those by their files.
function(cairn_static_libraries target)
  cmake_parse_arguments(ARG "" "" "MODULES;LIBRARIES" ${ARGN})
  pkg_check_modules(${target}_MODULES REQUIRED ${ARG_MODULES})
  if(CAIRN_ASAN OR CAIRN_TSAN OR CAIRN_FUZZ)
    set(libraries ${ARG_LIBRARIES} ${${target}_MODULES_LIBRARIES})
  else()
    set(names ${ARG_LIBRARIES} ${${target}_MODULES_STATIC_LIBRARIES})
    # Each archive stands before those that it needs, so of several places the last one counts.
    list(REVERSE names)
    list(REMOVE_DUPLICATES names)
    list(REVERSE names)
    foreach(name ${names})
      if(NOT name IN_LIST CAIRN_SHARED_LIBRARIES)
        find_library(CAIRN_ARCHIVE_${name} NAMES lib${name}.a)
        mark_as_advanced(CAIRN_ARCHIVE_${name})
      endif()
      if(CAIRN_ARCHIVE_${name})
        list(APPEND libraries ${CAIRN_ARCHIVE_${name}})
      else()
        list(APPEND libraries ${name})
      endif()
    endforeach()
  endif()
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE ${libraries} Threads::Threads)
  target_compile_options(${target} INTERFACE -pthread)  # as the CMake packages of the libraries say
endfunction()

cairn_static_libraries(cairn_grpc MODULES grpc++ protobuf LIBRARIES grpc++_reflection)
cairn_static_libraries(cairn_absl MODULES absl_flat_hash_set)
