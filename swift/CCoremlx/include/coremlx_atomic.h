/* Internal, not part of the ABI: C11 atomics for Swift, whose own (module Synchronization) need macOS 15. The caller
   owns the memory and gives its address, which never changes. */
#ifndef COREMLX_ATOMIC_H
#define COREMLX_ATOMIC_H
#include <stdatomic.h>
#include <stdint.h>

static inline void cmlx_atomic_init(uint64_t *at, uint64_t value) {
  atomic_init((_Atomic(uint64_t) *)at, value);
}
static inline uint64_t cmlx_atomic_load(uint64_t *at) {
  return atomic_load((_Atomic(uint64_t) *)at);
}
static inline void cmlx_atomic_store(uint64_t *at, uint64_t value) {
  atomic_store((_Atomic(uint64_t) *)at, value);
}
/* Gives the value before. */
static inline uint64_t cmlx_atomic_add(uint64_t *at, uint64_t value) {
  return atomic_fetch_add((_Atomic(uint64_t) *)at, value);
}
/* Gives the value before: `from` where it has become `to`. */
static inline uint64_t cmlx_atomic_exchange_if(uint64_t *at, uint64_t from, uint64_t to) {
  uint64_t expected = from;
  atomic_compare_exchange_strong((_Atomic(uint64_t) *)at, &expected, to);
  return expected;
}
#endif
