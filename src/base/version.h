/* The version of library and programs. It stands here alone: CMakeLists.txt reads it. */
#pragma once
#define BL_VERSION "0.1.0"
