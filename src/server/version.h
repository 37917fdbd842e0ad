/* The version of the programs; CMakeLists.txt has the same. */
#pragma once
#define BL_VERSION "0.1.0"
