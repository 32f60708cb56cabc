// Timed waits on the clock that never steps. On Apple systems there is no clock attribute, but a relative wait.
#ifndef __APPLE__
#define _GNU_SOURCE
#endif
#include "coremlx_wait.h"
#include <time.h>

static const uint64_t second_ns = 1000000000u;

uint64_t cmlx_clock_ns(void) {
#ifdef __APPLE__
  return clock_gettime_nsec_np(CLOCK_MONOTONIC);
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
#endif
}

static struct timespec timespec_of(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / second_ns), .tv_nsec = (long)(ns % second_ns)};
}

int cmlx_cond_init(pthread_cond_t *condition) {
#ifdef __APPLE__
  return pthread_cond_init(condition, NULL);
#else
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  int status = pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
  return status;
#endif
}

int cmlx_cond_wait_for(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t timeout_ns) {
  // A century is forever, and fits the sum below.
  uint64_t most = 100ull * 366 * 86400 * second_ns;
  uint64_t wait_ns = timeout_ns < most ? timeout_ns : most;
#ifdef __APPLE__
  struct timespec relative = timespec_of(wait_ns);
  return pthread_cond_timedwait_relative_np(condition, mutex, &relative);
#else
  struct timespec until = timespec_of(cmlx_clock_ns() + wait_ns);
  return pthread_cond_timedwait(condition, mutex, &until);
#endif
}
