/* Jobs run on the pool's threads and end on the loop that started them. The test is also run under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/disk_pool.h"
#include "common/base/loop.h"
#include "common/base/macros.h"

enum { DEADLINE_S = 20, JOBS_MAX = 64, WAITING_MAX = 16 };

/* Blocks jobs until the test opens it. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;
    int arrived;
};

struct world {
    struct loop *loop;
    struct event *deadline;
    struct disk_pool *pool;
    struct disk *disk;
    pthread_t thread; /* the loop's */
    struct gate gate;
    int ends, wanted;
    char story[JOBS_MAX + 1]; /* a letter per end */
};

struct job {
    struct disk_job disk;
    struct world *world;
    struct job *then; /* started from done() */
    char letter;
    bool passes_gate;
    int result, runs, ends;
};

static void arrive(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->arrived++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void await_arrivals(struct gate *gate, int count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->arrived < count)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void run(struct disk_job *disk_job)
{
    struct job *job = container_of(disk_job, struct job, disk);

    assert_false(pthread_equal(pthread_self(), job->world->thread));
    if (job->passes_gate)
        arrive(&job->world->gate);
    job->runs++;
    job->result = job->letter;
}

static void done(struct disk_job *disk_job)
{
    struct job *job = container_of(disk_job, struct job, disk);
    struct world *world = job->world;

    assert_true(pthread_equal(pthread_self(), world->thread));
    assert_int_equal(job->disk.was_run, job->runs == 1);
    assert_int_equal(job->result, job->runs ? job->letter : 0);
    job->ends++;
    world->story[world->ends++] = job->letter;
    if (job->then)
        disk_follow(disk_job->disk, &job->then->disk);
    if (world->ends == world->wanted)
        loop_stop(world->loop);
}

static struct job make(struct world *world, char letter)
{
    return (struct job){
        .disk = {.run = run, .done = done},
          .world = world, .letter = letter
    };
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    fail_msg("nothing happened for twenty seconds");
}

static void start_world(struct world *world, int threads)
{
    static const struct timeval limit = {.tv_sec = DEADLINE_S};

    *world = (struct world){.thread = pthread_self()};
    pthread_mutex_init(&world->gate.lock, NULL);
    pthread_cond_init(&world->gate.changed, NULL);
    world->loop = loop_create();
    assert_non_null(world->loop);
    world->deadline = evtimer_new(loop_base(world->loop), on_deadline, NULL);
    assert_int_equal(evtimer_add(world->deadline, &limit), 0);
    world->pool = disk_pool_create(threads, WAITING_MAX);
    assert_non_null(world->pool);
    world->disk = disk_create(world->pool, world->loop);
    assert_non_null(world->disk);
}

static void end_world(struct world *world)
{
    assert_null(disk_destroy(world->disk));
    assert_null(disk_pool_destroy(world->pool));
    event_free(world->deadline);
    assert_null(loop_destroy(world->loop));
    pthread_cond_destroy(&world->gate.changed);
    pthread_mutex_destroy(&world->gate.lock);
}

static void run_until(struct world *world, int ends)
{
    world->wanted = ends;
    if (world->ends < ends)
        loop_run(world->loop);
    assert_int_equal(world->ends, ends);
}

static void test_a_job_runs_on_a_thread_and_ends_on_the_loop(void **state)
{
    struct world world;
    struct job job;

    (void)state;
    start_world(&world, 2);
    job = make(&world, 'a');
    assert_int_equal(disk_start(world.disk, &job.disk), 0);
    assert_int_equal(job.ends, 0);
    assert_int_equal(disk_in_flight(world.disk), 1);
    run_until(&world, 1);
    assert_int_equal(job.ends, 1);
    assert_int_equal(disk_in_flight(world.disk), 0);
    end_world(&world);
}

static void test_one_thread_keeps_the_order(void **state)
{
    struct job jobs[8];
    struct world world;

    (void)state;
    start_world(&world, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(jobs); i++) {
        jobs[i] = make(&world, (char)('a' + i));
        assert_int_equal(disk_start(world.disk, &jobs[i].disk), 0);
    }
    run_until(&world, 8);
    assert_string_equal(world.story, "abcdefgh");
    end_world(&world);
}

static void test_jobs_run_at_the_same_time(void **state)
{
    struct job jobs[3];
    struct world world;

    (void)state;
    start_world(&world, 3);
    for (size_t i = 0; i < ARRAY_LENGTH(jobs); i++) {
        jobs[i] = make(&world, 'x');
        jobs[i].passes_gate = true;
        assert_int_equal(disk_start(world.disk, &jobs[i].disk), 0);
    }
    await_arrivals(&world.gate, 3); /* with fewer threads this would never return */
    open_gate(&world.gate);
    run_until(&world, 3);
    end_world(&world);
}

static void test_done_may_start_the_next_step(void **state)
{
    struct world world;
    struct job first, second, third;

    (void)state;
    start_world(&world, 2);
    first = make(&world, '1');
    second = make(&world, '2');
    third = make(&world, '3');
    first.then = &second;
    second.then = &third;
    assert_int_equal(disk_start(world.disk, &first.disk), 0);
    run_until(&world, 3);
    assert_string_equal(world.story, "123");
    end_world(&world);
}

static void test_the_queue_has_a_limit(void **state)
{
    struct job blocker, jobs[WAITING_MAX], extra, next;
    struct world world;

    (void)state;
    start_world(&world, 1);
    blocker = make(&world, 'b');
    blocker.passes_gate = true;
    extra = make(&world, 'e');
    assert_int_equal(disk_start(world.disk, &blocker.disk), 0);
    await_arrivals(&world.gate, 1);
    for (size_t i = 0; i < WAITING_MAX; i++) {
        jobs[i] = make(&world, 'w');
        assert_int_equal(disk_start(world.disk, &jobs[i].disk), 0);
    }
    assert_int_equal(disk_start(world.disk, &extra.disk), ERR_TOO_LONG);
    next = make(&world, 'n');
    disk_follow(world.disk, &next.disk); /* a follow-up step is never refused */
    open_gate(&world.gate);
    run_until(&world, 2 + WAITING_MAX);
    assert_int_equal(next.runs, 1);
    assert_int_equal(extra.ends, 0);
    assert_int_equal(disk_start(world.disk, &extra.disk), 0); /* there is room again */
    run_until(&world, 3 + WAITING_MAX);
    end_world(&world);
}

static void test_a_cancelled_job_that_waits_is_not_run(void **state)
{
    struct world world;
    struct job running, waiting;

    (void)state;
    start_world(&world, 1);
    running = make(&world, 'r');
    running.passes_gate = true;
    waiting = make(&world, 'w');
    assert_int_equal(disk_start(world.disk, &running.disk), 0);
    await_arrivals(&world.gate, 1);
    assert_int_equal(disk_start(world.disk, &waiting.disk), 0);
    disk_cancel(&running.disk); /* it already runs, and runs to its end */
    disk_cancel(&waiting.disk);
    disk_cancel(&waiting.disk);
    assert_int_equal(waiting.ends, 0);
    run_until(&world, 1);
    assert_string_equal(world.story, "w");
    assert_int_equal(waiting.runs, 0);
    open_gate(&world.gate);
    run_until(&world, 2);
    assert_int_equal(running.runs, 1);
    end_world(&world);
}

/* disk_destroy waits for the running job, so another thread opens the gate. */
static void *open_later(void *arg)
{
    struct world *world = arg;

    open_gate(&world->gate);
    return NULL;
}

static void test_destroying_a_disk_ends_all_its_jobs(void **state)
{
    struct job running, waiting, after;
    struct world world;
    struct disk *other;
    struct job others;
    pthread_t opener;

    (void)state;
    start_world(&world, 1);
    other = disk_create(world.pool, world.loop);
    assert_non_null(other);
    running = make(&world, 'r');
    running.passes_gate = true;
    waiting = make(&world, 'w');
    others = make(&world, 'o');
    after = make(&world, 'a');
    waiting.then = &after;
    assert_int_equal(disk_start(world.disk, &running.disk), 0);
    await_arrivals(&world.gate, 1);
    assert_int_equal(disk_start(other, &others.disk), 0);
    assert_int_equal(disk_start(world.disk, &waiting.disk), 0);
    assert_int_equal(pthread_create(&opener, NULL, open_later, &world), 0);
    world.disk = disk_destroy(world.disk);
    assert_int_equal(running.ends, 1);
    assert_int_equal(waiting.ends, 1);
    assert_int_equal(after.ends, 1);
    assert_int_equal(after.runs, 0);
    pthread_join(opener, NULL);
    run_until(&world, 4); /* the other disk's job is not affected */
    assert_int_equal(others.runs, 1);
    assert_null(disk_destroy(other));
    end_world(&world);
}

/* -- several loops */

enum { LOOPS = 3, ROUNDS = 200 };

struct looping_job {
    struct disk_job job;
    struct disk *disk;
    struct loop *loop;
    int left;
    int sum; /* run() writes it, done() reads it: the pool orders both */
};

static void looping_run(struct disk_job *job)
{
    struct looping_job *looping_job = container_of(job, struct looping_job, job);

    looping_job->sum++;
}

static void looping_done(struct disk_job *job)
{
    struct looping_job *looping_job = container_of(job, struct looping_job, job);

    if (--looping_job->left)
        assert_int_equal(disk_start(looping_job->disk, job), 0);
    else
        loop_stop(looping_job->loop);
}

static void *run_looping_job(void *arg)
{
    struct disk_pool *pool = arg;
    struct looping_job looping_job = {
        .job = {.run = looping_run, .done = looping_done},
          .left = ROUNDS
    };
    static int good;

    looping_job.loop = loop_create();
    looping_job.disk = disk_create(pool, looping_job.loop);
    if (disk_start(looping_job.disk, &looping_job.job))
        return NULL;
    loop_run(looping_job.loop);
    disk_destroy(looping_job.disk);
    loop_destroy(looping_job.loop);
    return looping_job.sum == ROUNDS ? &good : NULL;
}

static void test_several_loops_share_a_pool(void **state)
{
    struct disk_pool *pool = disk_pool_create(2, WAITING_MAX);
    pthread_t threads[LOOPS];
    void *good;

    (void)state;
    assert_non_null(pool);
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_looping_job, pool), 0);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_non_null(good);
    }
    assert_null(disk_pool_destroy(pool));
}

static void test_an_invalid_number_of_threads_is_refused(void **state)
{
    (void)state;
    assert_null(disk_pool_create(0, 1));
    assert_null(disk_pool_create(65, 1));
    assert_null(disk_pool_destroy(NULL));
    assert_null(disk_destroy(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_runs_on_a_thread_and_ends_on_the_loop),
        cmocka_unit_test(test_one_thread_keeps_the_order),
        cmocka_unit_test(test_jobs_run_at_the_same_time),
        cmocka_unit_test(test_done_may_start_the_next_step),
        cmocka_unit_test(test_the_queue_has_a_limit),
        cmocka_unit_test(test_a_cancelled_job_that_waits_is_not_run),
        cmocka_unit_test(test_destroying_a_disk_ends_all_its_jobs),
        cmocka_unit_test(test_several_loops_share_a_pool),
        cmocka_unit_test(test_an_invalid_number_of_threads_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
