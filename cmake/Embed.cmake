# embed_scripts(<out.c> <prelude.lua> <script.lua>...): every script, behind the prelude, with the SHA-1 that EVALSHA wants.
#
# The generated file defines `const struct script scripts[]` in the order of enum script_id (common/redis/script.h),
# which is the order in which the files are given.
function(embed_scripts out prelude)
  file(READ ${prelude} head)
  set(code "/* Generated at build time from common/redis/scripts. */\n#include \"common/redis/script.h\"\n\n")
  string(APPEND code "const struct script scripts[SCRIPT_COUNT] = {\n")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file} ${prelude})
    file(READ ${file} body)
    set(text "${head}${body}")
    string(SHA1 sha "${text}")
    string(LENGTH "${text}" length)
    get_filename_component(name ${file} NAME_WE)
    string(TOUPPER ${name} id)
    string(REGEX REPLACE "\\\\" "\\\\\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n      \"" text "${text}")
    string(APPEND code "    [SCRIPT_${id}] = { \"${name}\", \"${sha}\",\n      \"${text}\", ${length} },\n")
  endforeach()
  string(APPEND code "};\n")
  file(CONFIGURE OUTPUT ${out} CONTENT "${code}" @ONLY)
endfunction()
