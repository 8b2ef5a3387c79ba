# SPDX-License-Identifier: LGPL-2.1-or-later
#
# add_module(TARGET name [GRAMMAR folder/name-grammar] SOURCES ... [DEPENDS ...] [INCLUDES ...])
#
# Builds lib<name>.so, a plugin module of the host, with the interface of the host's own add_module(). The
# module exports what the linker script <name>.map beside its sources lists.

function (generate_grammar NAME)
  set(YM ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}.ym)
  set(Y ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.y)
  get_filename_component(FOLDER ${Y} DIRECTORY)
  file(MAKE_DIRECTORY ${FOLDER})
  set(MERGE ${SYSLOG_NG_TOOLSDIR}/merge-grammar.py)

  add_custom_command(
    OUTPUT ${Y}
    COMMAND ${PYTHON_EXECUTABLE} ${MERGE} ${YM} > ${Y}
    DEPENDS ${YM} ${MERGE} ${SYSLOG_NG_TOOLSDIR}/cfg-grammar.y
    VERBATIM)

  bison_target(${NAME} ${Y} ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.c
    COMPILE_FLAGS "-Wno-other -Werror=conflicts-sr -Werror=conflicts-rr")

  set(GRAMMAR_SOURCES ${BISON_${NAME}_OUTPUTS} PARENT_SCOPE)
endfunction ()

function (add_module)
  cmake_parse_arguments(MODULE "" "TARGET;GRAMMAR" "SOURCES;DEPENDS;INCLUDES" ${ARGN})

  if (MODULE_GRAMMAR)
    generate_grammar(${MODULE_GRAMMAR})
  endif ()

  set(EXPORTS ${CMAKE_CURRENT_SOURCE_DIR}/${MODULE_TARGET}.map)

  add_library(${MODULE_TARGET} MODULE ${MODULE_SOURCES} ${GRAMMAR_SOURCES})
  target_include_directories(${MODULE_TARGET} PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR} ${MODULE_INCLUDES})
  target_link_libraries(${MODULE_TARGET} PRIVATE ${MODULE_DEPENDS} syslog-ng)
  target_link_options(${MODULE_TARGET} PRIVATE LINKER:-z,defs LINKER:--version-script=${EXPORTS})
  set_target_properties(${MODULE_TARGET} PROPERTIES
    LINK_DEPENDS ${EXPORTS}
    INSTALL_RPATH ${SYSLOG_NG_LIBDIR}
    BUILD_WITH_INSTALL_RPATH ON)

  install(TARGETS ${MODULE_TARGET} LIBRARY DESTINATION ${MODULEDIR})
endfunction ()
