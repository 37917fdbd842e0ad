# Compiler flags, the same for every target of the project.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The same objects make programs and libbelay.so. Hidden: no call of ours goes through a table, whatever it ends up in.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
if(NOT CMAKE_BUILD_TYPE)
        set(CMAKE_BUILD_TYPE Dev)
endif()

option(BELAY_TESTS "build the unit and scenario tests" ON)
option(BELAY_WERROR "a warning is an error" ON)
option(BELAY_BENCH "build the programs of bench/" OFF)
option(BELAY_LTO "optimise across files" OFF)
set(BELAY_SANITIZE "" CACHE STRING "comma-separated list for -fsanitize=")
option(BELAY_FUZZ "build fuzz/ with libFuzzer (clang only) instead of the replay programs" OFF)

# Plain variables, not CACHE: project() has put empty ones there.
set(CMAKE_C_FLAGS_DEV "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O3 -g -DNDEBUG")
set(CMAKE_C_FLAGS_SANITIZE "-O1 -g -fno-omit-frame-pointer")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
        -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
        -Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wno-format-nonliteral -Wdate-time
        -fno-common -fstack-protector-strong)
if(BELAY_WERROR)
        add_compile_options(-Werror)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-Wimplicit-fallthrough -Wduplicated-cond -Wlogical-op) # the first takes comments here
endif()
if(NOT BELAY_SANITIZE STREQUAL "")
        add_compile_options(-fsanitize=${BELAY_SANITIZE} -fno-sanitize-recover=all)
        add_link_options(-fsanitize=${BELAY_SANITIZE})
        if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # instrumentation makes these guess wrong; dev and release keep them
                add_compile_options(-Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overread)
        endif()
endif()
if(BELAY_FUZZ)
        if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
                message(FATAL_ERROR "BELAY_FUZZ needs clang (libFuzzer): configure with the preset `fuzz`")
        endif()
        add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(BELAY_LTO)
        include(CheckIPOSupported)
        check_ipo_supported(RESULT BELAY_HAVE_LTO OUTPUT BELAY_LTO_WHY LANGUAGES C)
        if(BELAY_HAVE_LTO)
                set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
        else()
                message(STATUS "no optimisation across files: ${BELAY_LTO_WHY}")
        endif()
endif()
