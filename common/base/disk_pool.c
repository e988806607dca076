#include "common/base/disk_pool.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/loop.h"

enum { THREADS_MAX = 64 };

STAILQ_HEAD(job_list, disk_job);

struct disk_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* a job waits, or the pool ends */
    struct job_list waiting; /* all below is guarded by the lock */
    size_t waiting_count, waiting_max;
    bool ends;

    int count;
    pthread_t threads[THREADS_MAX];
};

struct disk {
    struct disk_pool *pool;
    int wakeup_fd;
    struct event *wakeup;
    size_t in_flight; /* loop thread only, as `closing` */
    bool closing;

    struct job_list ended;  /* guarded by the pool's lock, as `running` */
    size_t running;         /* jobs that a thread of the pool has taken */
    pthread_cond_t stopped; /* running is 0 */
};

/* -- the threads */

/* With the lock held. Only the first ended job wakes the loop: the loop takes all that ended until then. */
static void end_job(struct disk_job *job)
{
    struct disk *disk = job->disk;
    bool was_empty = STAILQ_EMPTY(&disk->ended);
    uint64_t one = 1;

    job->waits = false;
    STAILQ_INSERT_TAIL(&disk->ended, job, link);
    if (was_empty && write(disk->wakeup_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: the loop is about to wake up */
}

static void run_job(struct disk_pool *pool, struct disk_job *job)
{
    struct disk *disk = job->disk;

    STAILQ_REMOVE_HEAD(&pool->waiting, link);
    pool->waiting_count--;
    job->waits = false;
    job->was_run = true;
    disk->running++;
    pthread_mutex_unlock(&pool->lock);
    job->run(job);
    pthread_mutex_lock(&pool->lock);
    end_job(job);
    if (--disk->running == 0)
        pthread_cond_signal(&disk->stopped); /* with the lock held: disk_destroy frees the condition afterwards */
}

static void *disk_pool_thread(void *arg)
{
    struct disk_pool *pool = arg;
    struct disk_job *job;

    pthread_mutex_lock(&pool->lock);
    while (!pool->ends) {
        job = STAILQ_FIRST(&pool->waiting);
        if (job)
            run_job(pool, job);
        else
            pthread_cond_wait(&pool->work, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals belong to the loops: a thread of the pool blocks all of them. */
static bool disk_start_threads(struct disk_pool *pool, int count)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (pool->count < count && !pthread_create(&pool->threads[pool->count], NULL, disk_pool_thread, pool))
        pool->count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->count == count;
}

struct disk_pool *disk_pool_create(int threads, size_t waiting_max)
{
    struct disk_pool *pool = threads >= 1 && threads <= THREADS_MAX ? calloc(1, sizeof(*pool)) : NULL;

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    STAILQ_INIT(&pool->waiting);
    pool->waiting_max = waiting_max;
    return disk_start_threads(pool, threads) ? pool : disk_pool_destroy(pool);
}

struct disk_pool *disk_pool_destroy(struct disk_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->ends = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    while (pool->count)
        pthread_join(pool->threads[--pool->count], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return NULL;
}

/* -- a loop's access */

/* Takes the list in one step, so jobs that done() starts belong to the next turn. */
static void call_done(struct disk *disk)
{
    struct job_list ended = STAILQ_HEAD_INITIALIZER(ended);
    struct disk_job *job;

    pthread_mutex_lock(&disk->pool->lock);
    STAILQ_CONCAT(&ended, &disk->ended);
    pthread_mutex_unlock(&disk->pool->lock);
    while ((job = STAILQ_FIRST(&ended))) {
        STAILQ_REMOVE_HEAD(&ended, link);
        disk->in_flight--;
        job->done(job); /* may free the job */
    }
}

static void disk_on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    struct disk *disk = arg;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
        call_done(disk);
}

static bool watch(struct disk *disk, struct loop *loop)
{
    disk->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (disk->wakeup_fd < 0)
        return false;
    disk->wakeup = event_new(loop_base(loop), disk->wakeup_fd, EV_READ | EV_PERSIST, disk_on_wakeup, disk);
    return disk->wakeup && !event_add(disk->wakeup, NULL);
}

struct disk *disk_create(struct disk_pool *pool, struct loop *loop)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    if (!disk)
        return NULL;
    disk->pool = pool;
    disk->wakeup_fd = -1;
    STAILQ_INIT(&disk->ended);
    pthread_cond_init(&disk->stopped, NULL);
    return watch(disk, loop) ? disk : disk_destroy(disk);
}

/* Ends the waiting jobs of this disk without running them. */
static void drop_waiting(struct disk *disk)
{
    struct job_list others = STAILQ_HEAD_INITIALIZER(others);
    struct disk_pool *pool = disk->pool;
    struct disk_job *job;

    while ((job = STAILQ_FIRST(&pool->waiting))) {
        STAILQ_REMOVE_HEAD(&pool->waiting, link);
        if (job->disk == disk) {
            pool->waiting_count--;
            end_job(job);
        } else {
            STAILQ_INSERT_TAIL(&others, job, link);
        }
    }
    STAILQ_CONCAT(&pool->waiting, &others);
}

struct disk *disk_destroy(struct disk *disk)
{
    if (!disk)
        return NULL;
    disk->closing = true;
    pthread_mutex_lock(&disk->pool->lock);
    drop_waiting(disk);
    while (disk->running)
        pthread_cond_wait(&disk->stopped, &disk->pool->lock);
    pthread_mutex_unlock(&disk->pool->lock);
    while (disk->in_flight)
        call_done(disk); /* may start jobs, which end at once */
    if (disk->wakeup)
        event_free(disk->wakeup);
    if (disk->wakeup_fd >= 0)
        close(disk->wakeup_fd);
    pthread_cond_destroy(&disk->stopped);
    free(disk);
    return NULL;
}

static bool start_within(struct disk *disk, struct disk_job *job, size_t waiting_max)
{
    struct disk_pool *pool = disk->pool;
    bool fits;

    job->disk = disk;
    job->was_run = false;
    pthread_mutex_lock(&pool->lock);
    fits = pool->waiting_count < waiting_max;
    if (fits && disk->closing) {
        end_job(job);
    } else if (fits) {
        job->waits = true;
        STAILQ_INSERT_TAIL(&pool->waiting, job, link);
        pool->waiting_count++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    disk->in_flight += fits;
    return fits;
}

int disk_start(struct disk *disk, struct disk_job *job)
{
    if (disk->closing)
        return ERR_CLOSED;
    return start_within(disk, job, disk->pool->waiting_max) ? 0 : ERR_TOO_LONG;
}

void disk_follow(struct disk *disk, struct disk_job *job)
{
    (void)start_within(disk, job, SIZE_MAX);
}

void disk_cancel(struct disk_job *job)
{
    struct disk_pool *pool = job->disk->pool;

    pthread_mutex_lock(&pool->lock);
    if (job->waits) {
        STAILQ_REMOVE(&pool->waiting, job, disk_job, link);
        pool->waiting_count--;
        end_job(job);
    }
    pthread_mutex_unlock(&pool->lock);
}

size_t disk_in_flight(const struct disk *disk)
{
    return disk->in_flight;
}
