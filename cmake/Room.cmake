# add_room(<name> [DEPENDS <target>...] [SOURCES <file>...]): one static library, arkrelay_<name>, of all sources of the calling folder.
#
# A room is a folder with one purpose. docs/architecture.md says which room may use which; tests/integration/test_layers.py checks the
# includes against that table.
function(add_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;SOURCES;EXCEPT" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.c)
  foreach(file IN LISTS ROOM_EXCEPT)
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  add_library(arkrelay_${name} STATIC ${sources} ${ROOM_SOURCES})
  target_link_libraries(arkrelay_${name} PUBLIC project_warnings ${ROOM_DEPENDS})
endfunction()
