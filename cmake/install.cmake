# What `cmake --install` gives to others: the program `cairn`, the extension for a stock sqlite3, and
# the C++ client with a package file for find_package(Cairn). `--component client` installs the client
# alone, `--component extension` the extension.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Cairn)
set_target_properties(cairn_client PROPERTIES EXPORT_NAME client)
install(TARGETS cairn_client cairn_rpc cairn_security cairn_proto cairn_base EXPORT CairnTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT client)
install(EXPORT CairnTargets NAMESPACE Cairn:: DESTINATION ${package_dir} COMPONENT client)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/CairnConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/CairnConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/CairnConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/CairnConfig.cmake ${CMAKE_BINARY_DIR}/CairnConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT client)
# For the stock sqlite3: .load LIBDIR/cairn/cairn_sqlite
install(TARGETS cairn_sqlite LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/cairn COMPONENT extension)
if(TARGET cairn)
  install(TARGETS cairn RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  include(cmake/package.cmake)
endif()
