/* How the threads of a team meet: one publishes a task, the others join it, and it waits for those who have. */
#ifndef EVENTSNN_TEAM_H
#define EVENTSNN_TEAM_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

/* Waking a thread that sleeps takes 50 to 300 us: whoever waits first watches for this long, which is about what
 * Python needs between two kernels. While it watches it gives way to any other thread that wants the processor. */
#define TEAM_WATCH_NS 300000

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    void *task;       /* what helpers may join; NULL: nothing */
    int64_t number;   /* how many tasks were published */
    int32_t active;   /* helpers at work */
    int32_t sleeping; /* helpers that have to be woken up */
    int32_t waiting;  /* whether the owner has to be */
    int32_t stopped;
} team_t;

static inline int64_t team_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void team_pause(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    for (int k = 0; k < 16; ++k) __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    for (int k = 0; k < 16; ++k) __asm__ __volatile__("yield");
#endif
    sched_yield();
}

static inline int team_create(team_t *t) {
    if (pthread_mutex_init(&t->mutex, NULL)) return -1;
    if (pthread_cond_init(&t->wake, NULL) || pthread_cond_init(&t->done, NULL)) return -1;
    return 0;
}

/* Let helpers join a task. */
static inline void team_publish(team_t *t, void *task) {
    pthread_mutex_lock(&t->mutex);
    t->task = task;
    __atomic_store_n(&t->number, t->number + 1, __ATOMIC_RELEASE);
    if (t->sleeping) pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->mutex);
}

/* Let nobody join any more. */
static inline void team_close(team_t *t) {
    pthread_mutex_lock(&t->mutex);
    t->task = NULL;
    pthread_mutex_unlock(&t->mutex);
}

static inline void team_stop(team_t *t) {
    pthread_mutex_lock(&t->mutex);
    __atomic_store_n(&t->stopped, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->mutex);
}

/* Wait for a task after number *seen, and join it; NULL when the team has stopped. */
static inline void *team_join(team_t *t, int64_t *seen) {
    void *task = NULL;
    while (task == NULL) {
        const int64_t start = team_now();
        while (__atomic_load_n(&t->number, __ATOMIC_ACQUIRE) == *seen &&
               !__atomic_load_n(&t->stopped, __ATOMIC_ACQUIRE) && team_now() - start < TEAM_WATCH_NS)
            team_pause();
        pthread_mutex_lock(&t->mutex);
        while (t->number == *seen && !t->stopped) {
            ++t->sleeping;
            pthread_cond_wait(&t->wake, &t->mutex);
            --t->sleeping;
        }
        *seen = t->number;
        task = t->stopped ? NULL : t->task;
        if (task != NULL) __atomic_store_n(&t->active, t->active + 1, __ATOMIC_RELEASE);
        if (t->stopped) {
            pthread_mutex_unlock(&t->mutex);
            return NULL;
        }
        pthread_mutex_unlock(&t->mutex);
    }
    return task;
}

/* A helper has taken part in a task, and touches nothing of it any more. */
static inline void team_leave(team_t *t) {
    pthread_mutex_lock(&t->mutex);
    __atomic_store_n(&t->active, t->active - 1, __ATOMIC_RELEASE);
    if (t->active == 0 && t->waiting) pthread_cond_signal(&t->done);
    pthread_mutex_unlock(&t->mutex);
}

/* Wait for all who have joined, 0.1 s at most; whether they have left. */
static inline int team_wait(team_t *t) {
    const int64_t start = team_now();
    struct timespec until;
    int left;
    while (__atomic_load_n(&t->active, __ATOMIC_ACQUIRE) && team_now() - start < TEAM_WATCH_NS) team_pause();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&t->mutex);
    t->waiting = 1;
    while (t->active && pthread_cond_timedwait(&t->done, &t->mutex, &until) == 0) {
    }
    t->waiting = 0;
    left = t->active == 0;
    pthread_mutex_unlock(&t->mutex);
    return left;
}

static inline void team_free(team_t *t) {
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->done);
}

#endif
