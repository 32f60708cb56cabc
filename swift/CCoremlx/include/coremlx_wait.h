/* Internal, not part of the ABI: waiting for a condition with a limit that steps of the wall clock do not move. */
#ifndef COREMLX_WAIT_H
#define COREMLX_WAIT_H
#include <pthread.h>
#include <stdint.h>

int cmlx_cond_init(pthread_cond_t *condition);
/* 0: woken (perhaps without reason). ETIMEDOUT: timeout_ns have passed. The mutex is held before and after. */
int cmlx_cond_wait_for(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t timeout_ns);
uint64_t cmlx_clock_ns(void);
#endif
