# A folder is a namespace is a target is a layer.
include(GoogleTest)

# Warnings for our own code only; generated protobuf code is compiled without them.
add_library(cairn_warnings INTERFACE)
target_compile_options(cairn_warnings INTERFACE -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor)

# The layers whose tests run under ThreadSanitizer with cmake/tsan.supp. The layer node is not one
# of them: its tests use the transport in memory.
set(CAIRN_GRPC_LAYERS security transport rpc client server tools)

# cairn_layer(name DEPS dep... [TEST_DEPS dep...] [EXCLUDE file...] [READS_SOURCES test...])
#
# Makes the static library `cairn_name` from every .cc in this folder and below, except *_test.cc.
# Those make the program `name_test`, each case of which is a ctest of its own. Only the tests get
# files named *_test_util.*, the TEST_DEPS and the folder testing/. The tests in READS_SOURCES find the
# repository at CAIRN_SOURCE_DIR.
function(cairn_layer name)
  cmake_parse_arguments(ARG "" "" "DEPS;TEST_DEPS;EXCLUDE;READS_SOURCES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test(_util)?\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test(_util)?\\.cc$")
  if(ARG_EXCLUDE)
    list(REMOVE_ITEM sources ${ARG_EXCLUDE})
  endif()
  if(sources)
    add_library(cairn_${name} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(cairn_${name} PRIVATE $<BUILD_INTERFACE:cairn_warnings>)
  else()
    add_library(cairn_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(cairn_${name} ${scope} $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>
                                                    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_link_libraries(cairn_${name} ${scope} ${ARG_DEPS})
  if(tests)
    add_executable(${name}_test ${tests})
    add_dependencies(unit_tests ${name}_test)
    target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name}_test PRIVATE cairn_${name} ${ARG_TEST_DEPS} cairn_warnings
                          GTest::gmock GTest::gtest_main ${CAIRN_MALLOC})
    # Only these files, so that ccache finds the others whatever the clone's folder is called.
    set_source_files_properties(${ARG_READS_SOURCES} PROPERTIES
                                COMPILE_DEFINITIONS CAIRN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    set(properties TIMEOUT 300)
    if(CAIRN_TSAN)
      # Debian's libraries are not instrumented, and ThreadSanitizer does not see their calls into
      # the C library, nor how they synchronize. The suppressions make up for that, only in the
      # layers that use gRPC.
      set(tsan ignore_noninstrumented_modules=1:second_deadlock_stack=1:history_size=7)
      if(name IN_LIST CAIRN_GRPC_LAYERS)
        string(APPEND tsan :suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp)
      endif()
      list(APPEND properties ENVIRONMENT TSAN_OPTIONS=${tsan})
    endif()
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST
                         PROPERTIES ${properties})
  endif()
endfunction()
