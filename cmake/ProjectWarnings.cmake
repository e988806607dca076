# project_warnings: the interface target that every target of this project links. Warnings, sanitizers, hardening.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
add_library(project_warnings INTERFACE)

target_compile_options(project_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef -Wvla
  -Wimplicit-fallthrough -Wno-format-zero-length -fno-strict-aliasing -fno-common)
# These are nearly always a vulnerability or a crash, so they are errors even if ARKRELAY_WERROR is off.
target_compile_options(project_warnings INTERFACE
  -Werror=format-security -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
  -Werror=int-conversion -Werror=return-type)
target_compile_definitions(project_warnings INTERFACE _GNU_SOURCE)
target_include_directories(project_warnings INTERFACE ${CMAKE_SOURCE_DIR})

if(ARKRELAY_WERROR)
  target_compile_options(project_warnings INTERFACE -Werror)
endif()

# Adds a flag only if the compiler accepts it.
function(harden_where_known flag)
  string(MAKE_C_IDENTIFIER "HAS${flag}" known)
  set(CMAKE_REQUIRED_FLAGS -Werror)
  check_c_compiler_flag(${flag} ${known})
  if(${known})
    target_compile_options(project_warnings INTERFACE ${flag})
  endif()
endfunction()

# Level 3 also checks sizes that are known only at run time. A libc without level 3 prints a warning, which -Werror turns into a failed
# check.
function(fortify)
  set(level 2)
  set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_c_source_compiles("#include <string.h>\nint main(void) { return (int)strlen(\"\"); }" HAS_FORTIFY_SOURCE_3)
  if(HAS_FORTIFY_SOURCE_3)
    set(level 3)
  endif()
  target_compile_options(project_warnings INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level})
endfunction()

# scripts/check_hardening.sh verifies these properties in the built programs.
function(harden)
  fortify()
  target_compile_options(project_warnings INTERFACE
    -fstack-protector-strong -fno-delete-null-pointer-checks -fno-strict-overflow -fPIE)
  harden_where_known(-fstack-clash-protection)
  harden_where_known(-ftrivial-auto-var-init=zero)
  harden_where_known(-fstrict-flex-arrays=3)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
    harden_where_known(-fcf-protection=full)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|ARM64")
    harden_where_known(-mbranch-protection=standard)
  endif()
  # Reproducible builds: no absolute source or build path ends up in a program.
  target_compile_options(project_warnings INTERFACE
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
  target_link_options(project_warnings INTERFACE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
endfunction()

if(ARKRELAY_SANITIZE)
  target_compile_options(project_warnings INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(project_warnings INTERFACE -fsanitize=address,undefined)
elseif(ARKRELAY_TSAN)
  target_compile_options(project_warnings INTERFACE
    -O1 -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(project_warnings INTERFACE -fsanitize=thread)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  harden()
endif()

if(ARKRELAY_FUZZ)
  target_compile_options(project_warnings INTERFACE -fsanitize=fuzzer-no-link)
endif()
