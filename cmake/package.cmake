# Three packages for Debian, by `scripts/package` (make package):
#
#   cairn          the program, its service, configuration, manual pages and completion
#   libcairn-dev   the C++ client: headers, static libraries, find_package(Cairn)
#   cairn-sqlite   the extension for a stock sqlite3
#
# What tells of the flags (pages, completion, configuration) is made by the program itself.
set(package_files ${CMAKE_BINARY_DIR}/package_files)
set(package_service db=/var/lib/cairn/cairn.db)
add_custom_command(
  OUTPUT ${package_files}/stamp
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${package_files}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${package_files}/man
  COMMAND $<TARGET_FILE:cairn> manual ${package_files}/man
  COMMAND $<TARGET_FILE:cairn> completion bash > ${package_files}/cairn.bash
  COMMAND $<TARGET_FILE:cairn> completion zsh > ${package_files}/_cairn
  COMMAND $<TARGET_FILE:cairn> config default ${package_service} > ${package_files}/cairn.toml
  COMMAND ${CMAKE_SOURCE_DIR}/packaging/debian_files ${package_files} ${PROJECT_VERSION}
  COMMAND ${CMAKE_COMMAND} -E touch ${package_files}/stamp
  DEPENDS cairn ${CMAKE_SOURCE_DIR}/packaging/debian_files ${CMAKE_SOURCE_DIR}/LICENSE
  VERBATIM)
add_custom_target(package_files DEPENDS ${package_files}/stamp)
# All that the packages hold.
add_custom_target(package_contents DEPENDS package_files)
add_dependencies(package_contents cairn cairn_client cairn_rpc cairn_security cairn_proto cairn_base cairn_sqlite)

# `cmake --install` leaves out what `package_files` has not made.
install(DIRECTORY ${package_files}/man1 ${package_files}/man5 DESTINATION share/man
        COMPONENT program OPTIONAL)
install(FILES ${package_files}/cairn.bash DESTINATION share/bash-completion/completions RENAME cairn
        COMPONENT program OPTIONAL)
install(FILES ${package_files}/_cairn DESTINATION share/zsh/vendor-completions
        COMPONENT program OPTIONAL)
foreach(component program client extension)
  install(DIRECTORY ${package_files}/doc/${component}/ DESTINATION share/doc
          COMPONENT ${component} OPTIONAL)
endforeach()
# These go where only a package may write, so `cmake --install` leaves them out.
install(FILES ${CMAKE_SOURCE_DIR}/packaging/cairn.toml DESTINATION /etc/cairn COMPONENT service
        EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/cairn.service DESTINATION /lib/systemd/system
        COMPONENT service EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cairn)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "Cairn maintainers <maintainers@cairn.invalid>")
set(CPACK_PACKAGE_HOMEPAGE_URL "")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_COMPONENTS_ALL program service client extension)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(scripts ${CMAKE_SOURCE_DIR}/packaging/debian)
set(CPACK_DEBIAN_NODE_PACKAGE_NAME cairn)
set(CPACK_DEBIAN_NODE_PACKAGE_SECTION database)
set(CPACK_DEBIAN_NODE_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_NODE_PACKAGE_DEPENDS "adduser, libcurl4")  # libcurl is loaded when it is needed
set(CPACK_DEBIAN_NODE_PACKAGE_SUGGESTS "cairn-sqlite, sqlite3")
set(CPACK_DEBIAN_NODE_PACKAGE_CONTROL_EXTRA
    "${scripts}/postinst;${scripts}/prerm;${scripts}/postrm;${package_files}/conffiles")
set(CPACK_DEBIAN_NODE_DESCRIPTION "strongly consistent SQLite, replicated by Raft
Cairn is a database for hubs at the edge. Every node holds a whole SQLite
database, and Raft keeps the databases equal. This package has the node, its
service, and the commands of the operator.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libcairn-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
    "libgrpc++-dev, libprotobuf-dev, libspdlog-dev, libssl-dev")
set(CPACK_DEBIAN_DEV_DESCRIPTION "C++ client of Cairn: headers and static libraries
A program that links this library reads and writes the database of a cluster of
Cairn. find_package(Cairn) of CMake finds it.")

set(CPACK_DEBIAN_SQLITE_PACKAGE_NAME cairn-sqlite)
set(CPACK_DEBIAN_SQLITE_PACKAGE_SECTION database)
set(CPACK_DEBIAN_SQLITE_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_SQLITE_PACKAGE_SUGGESTS sqlite3)
set(CPACK_DEBIAN_SQLITE_DESCRIPTION "time series and vectors of Cairn for a stock sqlite3
A loadable extension by which sqlite3 reads the time series and searches the
vectors in the file of a stopped node, or in a backup.")
include(CPack)
cpack_add_component_group(node)
cpack_add_component_group(dev)
cpack_add_component_group(sqlite)
cpack_add_component(program GROUP node)
cpack_add_component(service GROUP node)
cpack_add_component(client GROUP dev)
cpack_add_component(extension GROUP sqlite)
