# What a folder becomes. All globs look again at each build (CONFIGURE_DEPENDS); an empty or missing folder is fine.

set(BELAY_INCLUDES ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)

# belay_library(name [FOLDERS a b …  below src/] [ROOT dir] [LINKS …]): an archive; an INTERFACE library while it has no source.
function(belay_library name)
        cmake_parse_arguments(ARG "" "ROOT" "FOLDERS;LINKS" ${ARGN})
        set(sources)
        foreach(folder ${ARG_FOLDERS})
                file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.c)
                list(APPEND sources ${found})
        endforeach()
        if(ARG_ROOT)
                file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_ROOT}/*.c)
                list(APPEND sources ${found})
        endif()
        if(sources)
                add_library(${name} STATIC ${sources})
                target_include_directories(${name} PUBLIC ${BELAY_INCLUDES} ${CMAKE_SOURCE_DIR})
                target_link_libraries(${name} PUBLIC ${ARG_LINKS})
        else()
                add_library(${name} INTERFACE)
                target_include_directories(${name} INTERFACE ${BELAY_INCLUDES} ${CMAKE_SOURCE_DIR})
                target_link_libraries(${name} INTERFACE ${ARG_LINKS})
        endif()
endfunction()

# belay_program(name FOLDER f LINKS …): main.c becomes the program, the other files the archive <name>_parts, so that
# unit tests can reach them. No main.c: no program yet.
function(belay_program name)
        cmake_parse_arguments(ARG "" "FOLDER" "LINKS" ${ARGN})
        file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${ARG_FOLDER}/*.c)
        set(main ${CMAKE_SOURCE_DIR}/src/${ARG_FOLDER}/main.c)
        list(FIND sources ${main} at)
        list(REMOVE_ITEM sources ${main})
        if(sources)
                add_library(${name}_parts STATIC ${sources})
                target_include_directories(${name}_parts PUBLIC ${BELAY_INCLUDES})
                target_link_libraries(${name}_parts PUBLIC ${ARG_LINKS})
        else()
                add_library(${name}_parts INTERFACE)
                target_link_libraries(${name}_parts INTERFACE ${ARG_LINKS})
        endif()
        if(NOT at EQUAL -1)
                add_executable(${name} ${main})
                target_include_directories(${name} PRIVATE ${BELAY_INCLUDES})
                target_link_libraries(${name} PRIVATE ${name}_parts)
                install(TARGETS ${name} RUNTIME)
        endif()
endfunction()

# libbelay.a and libbelay.so from belaylib and what it needs of the archives below; belay.pc; what `cmake --install` puts
# where. Both export the names of include/belay/ alone (src/lib/exports.map says the same to the linker): in the static one
# all other names are made local, so that they cannot clash with the application's. REQUIRES: pkg-config's names of what
# is linked, for static linking.
function(belay_public_library)
        cmake_parse_arguments(ARG "" "HEADERS" "REQUIRES" ${ARGN})
        include(GNUInstallDirs)
        if(NOT BELAY_SANITIZE STREQUAL "") # what is installed is not instrumented
                return()
        endif()
        set(map ${CMAKE_SOURCE_DIR}/src/lib/exports.map)
        add_library(libbelay_shared SHARED $<TARGET_OBJECTS:belaylib>)
        target_link_libraries(libbelay_shared PRIVATE belayio belaycore)
        target_link_options(libbelay_shared PRIVATE LINKER:--version-script=${map} LINKER:--no-undefined
                LINKER:--exclude-libs,ALL)
        set_target_properties(libbelay_shared PROPERTIES OUTPUT_NAME belay VERSION ${PROJECT_VERSION}
                SOVERSION ${PROJECT_VERSION_MAJOR} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib LINK_DEPENDS ${map}
                LINKER_LANGUAGE C)

        set(one ${CMAKE_BINARY_DIR}/lib/belay.o)
        set(archive ${CMAKE_BINARY_DIR}/lib/libbelay.a)
        set(how -r -nostdlib)
        if(BELAY_HAVE_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
                list(APPEND how -O3 -flto=auto -flinker-output=nolto-rel)
        endif()
        add_custom_command(OUTPUT ${archive}
                COMMAND ${CMAKE_C_COMPILER} ${how} -o ${one} $<TARGET_OBJECTS:belaylib> $<TARGET_FILE:belayio>
                        $<TARGET_FILE:belaycore>
                COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=belay_* ${one}
                COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
                COMMAND ${CMAKE_AR} rcs ${archive} ${one}
                DEPENDS belaylib belayio belaycore $<TARGET_OBJECTS:belaylib>
                COMMENT "Linking libbelay.a" COMMAND_EXPAND_LISTS VERBATIM)
        add_custom_target(libbelay_static ALL DEPENDS ${archive})

        set(BELAY_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
        if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR}) # then the tree may be moved
                file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
                set(BELAY_PC_PREFIX "\${pcfiledir}/${up}")
        endif()
        list(JOIN ARG_REQUIRES " " BELAY_PC_REQUIRES)
        configure_file(${CMAKE_SOURCE_DIR}/packaging/belay.pc.in ${CMAKE_BINARY_DIR}/lib/belay.pc @ONLY)
        install(TARGETS libbelay_shared LIBRARY)
        install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
        install(DIRECTORY ${CMAKE_SOURCE_DIR}/${ARG_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
        install(FILES ${CMAKE_BINARY_DIR}/lib/belay.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# A fault in a sanitizer build must end the test, with the place.
set(BELAY_TEST_ENV
        "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
        "UBSAN_OPTIONS=print_stacktrace=1"
        "TSAN_OPTIONS=second_deadlock_stack=1")

function(belay_add_test test target timeout)
        add_test(NAME ${test} COMMAND ${target} ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(${test} PROPERTIES TIMEOUT ${timeout} ENVIRONMENT "${BELAY_TEST_ENV}")
endfunction()

# tests/unit/*.c: helpers of all unit tests (oom.h, guard.h). tests/unit/<folder>/test_<file>.c: ctest unit/<folder>/<file>.
# Allocations of everything linked statically go through oom.c, which passes them on unless a test asked for failures.
function(belay_unit_tests)
        file(GLOB helpers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*.c)
        add_library(belayunit OBJECT ${helpers})
        target_include_directories(belayunit PUBLIC ${CMAKE_SOURCE_DIR}/tests ${BELAY_INCLUDES})
        target_link_libraries(belayunit PUBLIC PkgConfig::CMOCKA)
        target_link_options(belayunit PUBLIC LINKER:--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
                LINKER:--wrap=posix_memalign,--wrap=strdup,--wrap=strndup
                LINKER:--wrap=bl_pool_alloc,--wrap=bl_pool_zalloc,--wrap=bl_buf_new,--wrap=bl_buf_copy)
        file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*/test_*.c)
        foreach(source ${tests})
                get_filename_component(folder ${source} DIRECTORY)
                get_filename_component(folder ${folder} NAME)
                get_filename_component(file ${source} NAME_WE)
                string(REGEX REPLACE "^test_" "" file ${file})
                set(target unit_${folder}_${file})
                add_executable(${target} ${source})
                set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
                if(folder STREQUAL "io")
                        target_link_libraries(${target} PRIVATE belayio)
                elseif(folder STREQUAL "lib")
                        target_link_libraries(${target} PRIVATE belaylib)
                elseif(folder STREQUAL "admin")
                        target_link_libraries(${target} PRIVATE belayadmin)
                elseif(folder STREQUAL "server")
                        target_link_libraries(${target} PRIVATE belayd_parts)
                elseif(folder STREQUAL "cli")
                        target_link_libraries(${target} PRIVATE belay_parts)
                endif()
                target_link_libraries(${target} PRIVATE belayunit belaysim belaycore)
                belay_add_test(unit/${folder}/${file} ${target} 120)
        endforeach()
endfunction()

# tests/scenario/<file>.c: one program each, ctest scenario/<file>. What they share is in tests/scenario/world/ and sim/.
function(belay_scenario_tests)
        file(GLOB shared CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/scenario/world/*.c)
        add_library(belayscenario STATIC ${shared})
        target_include_directories(belayscenario PUBLIC ${CMAKE_SOURCE_DIR}/tests ${BELAY_INCLUDES})
        target_link_libraries(belayscenario PUBLIC belaysim belaycore)
        file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/scenario/*.c)
        foreach(source ${tests})
                get_filename_component(file ${source} NAME_WE)
                set(target scenario_${file})
                add_executable(${target} ${source})
                set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
                target_link_libraries(${target} PRIVATE belayscenario)
                belay_add_test(scenario/${file} ${target} 300)
        endforeach()
endfunction()

# The rules of docs/architecture.md, over the sources and (not where a sanitizer adds symbols) the core's objects; that
# every header compiles alone; that each patch of tests/mutants/ still fits (running them takes longer: ./dev check).
function(belay_layers_test)
        if(BELAY_SANITIZE STREQUAL "")
                set(archive $<TARGET_FILE:belaycore>)
        endif()
        add_test(NAME layers COMMAND ${CMAKE_SOURCE_DIR}/tests/layers ${archive} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        add_test(NAME headers COMMAND ${CMAKE_SOURCE_DIR}/tests/headers ${CMAKE_C_COMPILER}
                WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        add_test(NAME mutants/fit COMMAND ${CMAKE_SOURCE_DIR}/tests/mutants/run --fit
                WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(layers headers mutants/fit PROPERTIES TIMEOUT 120)
endfunction()

# fuzz/fuzz_<name>.c: with BELAY_FUZZ a libFuzzer program; else a program that runs every file of fuzz/corpus/<name>/
# and fuzz/crashers/<name>/ through it, ctest fuzz/<name>.
function(belay_fuzz_targets)
        file(GLOB targets CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/fuzz/fuzz_*.c)
        foreach(source ${targets})
                get_filename_component(target ${source} NAME_WE)
                string(REGEX REPLACE "^fuzz_" "" name ${target})
                if(BELAY_FUZZ)
                        add_executable(${target} ${source})
                        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
                elseif(BELAY_TESTS)
                        add_executable(${target} ${source} ${CMAKE_SOURCE_DIR}/fuzz/replay.c)
                        belay_add_test(fuzz/${name} ${target} 300
                                ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name} ${CMAKE_SOURCE_DIR}/fuzz/crashers/${name})
                else()
                        continue()
                endif()
                set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
                target_link_libraries(${target} PRIVATE belaysim belayio belaycore)
        endforeach()
endfunction()

# bench/<file>.c: one program each, build/release/bench/<file>.
function(belay_bench_programs)
        file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
        foreach(source ${programs})
                get_filename_component(file ${source} NAME_WE)
                add_executable(bench_${file} ${source})
                set_target_properties(bench_${file} PROPERTIES OUTPUT_NAME ${file}
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
                target_link_libraries(bench_${file} PRIVATE belaysim belayadmin belayio belaycore m)
        endforeach()
endfunction()
