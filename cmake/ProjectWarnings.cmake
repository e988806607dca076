# One interface target that every target of ours links: the warnings, the sanitizers, the hardening.
add_library(project_warnings INTERFACE)

target_compile_options(project_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef -Wvla
  -Wimplicit-fallthrough -Wno-format-zero-length -fno-strict-aliasing -fno-common)
target_compile_definitions(project_warnings INTERFACE _GNU_SOURCE)
target_include_directories(project_warnings INTERFACE ${CMAKE_SOURCE_DIR})

if(ARKRELAY_WERROR)
  target_compile_options(project_warnings INTERFACE -Werror)
endif()

if(ARKRELAY_SANITIZE)
  target_compile_options(project_warnings INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(project_warnings INTERFACE -fsanitize=address,undefined)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(project_warnings INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE)
  target_link_options(project_warnings INTERFACE -pie -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()

if(ARKRELAY_FUZZ)
  target_compile_options(project_warnings INTERFACE -fsanitize=fuzzer-no-link)
endif()
