/* A spin lock for critical sections of some tens of instructions between the workers of one node. Zeroed = free. */
#pragma once
#include <stdatomic.h>

struct bl_spin {
        atomic_uint _held;
};

static inline void bl_spin_lock(struct bl_spin *l)
{
        while (atomic_exchange_explicit(&l->_held, 1, memory_order_acquire)) {
                /* Reading until it looks free leaves the cache line with its holder. */
                while (atomic_load_explicit(&l->_held, memory_order_relaxed)) {
#if defined(__x86_64__) || defined(__i386__)
                        __builtin_ia32_pause();
#elif defined(__aarch64__)
                        __asm__ volatile("yield");
#endif
                }
        }
}

static inline void bl_spin_unlock(struct bl_spin *l)
{
        atomic_store_explicit(&l->_held, 0, memory_order_release);
}
