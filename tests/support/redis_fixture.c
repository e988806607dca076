#include "tests/support/redis_fixture.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h needs the three headers above */
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/loop.h"

enum { DEADLINE_S = 30 };

static void on_ready(void *arg)
{
    struct fixture *fixture = arg;

    fixture->ready++;
}

static void on_disconnected(void *arg)
{
    struct fixture *fixture = arg;

    fixture->lost++;
}

static void on_subscribed(const char *channel, void *arg)
{
    struct fixture *fixture = arg;

    fixture->subscribed++;
    snprintf(fixture->channel, sizeof(fixture->channel), "%s", channel);
}

static void on_message(const char *channel, const char *payload, size_t len, void *arg)
{
    struct fixture *fixture = arg;

    fixture->messages++;
    fixture->payload_len = len;
    snprintf(fixture->channel, sizeof(fixture->channel), "%s", channel);
    snprintf(fixture->payload, sizeof(fixture->payload), "%s", payload);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *fixture = arg;

    (void)fd;
    (void)what;
    print_error("nothing more happens; ready=%d lost=%d answered=%d\n%s", fixture->ready, fixture->lost,
                fixture->answered, fixture_log(fixture));
    fail();
}

/* Exists in sanitizer builds: keeps their reports on the terminal instead of the log. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

/* Replaces stderr, for all fixtures that exist at the same time. */
static struct {
    int users, file, terminal;
} capture = {.file = -1, .terminal = STDERR_FILENO};

/* A failed assert has written its line into the log file. */
static void on_abort(int number)
{
    char text[4096];
    ssize_t len;

    (void)number;
    for (off_t at = 0; (len = pread(capture.file, text, sizeof(text), at)) > 0; at += len)
        (void)!write(capture.terminal, text, (size_t)len);
}

static void capture_log(struct fixture *fixture)
{
    if (!capture.users++) {
        capture.terminal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        capture.file = memfd_create("log", MFD_CLOEXEC);
        assert_true(capture.terminal >= 0 && capture.file >= 0 && dup2(capture.file, STDERR_FILENO) >= 0);
        signal(SIGABRT, on_abort);
        if (__sanitizer_set_report_fd)
            __sanitizer_set_report_fd((void *)(intptr_t)capture.terminal);
    }
    fixture->log_from = lseek(capture.file, 0, SEEK_END);
}

static void release_log(void)
{
    if (--capture.users > 0)
        return;
    signal(SIGABRT, SIG_DFL);
    dup2(capture.terminal, STDERR_FILENO);
    if (__sanitizer_set_report_fd)
        __sanitizer_set_report_fd((void *)(intptr_t)STDERR_FILENO);
    close(capture.terminal);
    close(capture.file);
}

void fixture_init(struct fixture *fixture, const char *url)
{
    struct timeval tv = {.tv_sec = DEADLINE_S};
    const char *why = "";

    *fixture = (struct fixture){0};
    signal(SIGPIPE, SIG_IGN);
    capture_log(fixture);
    log_setup(LOG_INFO, LOG_TEXT);

    fixture->loop = loop_create();
    assert_non_null(fixture->loop);
    fixture->deadline = evtimer_new(loop_base(fixture->loop), on_deadline, fixture);
    evtimer_add(fixture->deadline, &tv);
    assert_int_equal(redis_address_parse(url, &fixture->address, &why), 0);
    fixture->config = (struct redis_config){
        .address = &fixture->address,
        .name = "test:client",
        .connect_timeout_ms = 5000,
        .command_timeout_ms = 5000,
        .reconnect = {.base_ms = 1, .max_ms = 20},
        .output_max = 1024 * 1024,
        .events = { on_ready, on_disconnected, on_subscribed, on_message, NULL},
        .arg = fixture,
    };
}

void fixture_deinit(struct fixture *fixture)
{
    redis_destroy(fixture->redis);
    event_free(fixture->deadline);
    loop_destroy(fixture->loop);
    redis_address_deinit(&fixture->address);
    release_log();
}

void fixture_connect(struct fixture *fixture)
{
    fixture->redis = redis_create(fixture->loop, &fixture->config);
    assert_non_null(fixture->redis);
}

void fixture_turn(struct fixture *fixture)
{
    loop_turn(fixture->loop, true);
}

void fixture_begin(struct fixture *fixture, const char *url)
{
    fixture_init(fixture, url);
    fixture_connect(fixture);
    WAIT_UNTIL(fixture, fixture->ready);
}

struct answer fixture_ask(struct fixture *fixture, const char *const *words)
{
    struct answer answer = {.fixture = fixture};

    assert_int_equal(redis_send_words(fixture->redis, words, on_answer, &answer, NULL), 0);
    WAIT_UNTIL(fixture, answer.times);
    return answer;
}

int fixture_teardown(void **state)
{
    (void)state;
    if (!capture.users)
        return 0;
    on_abort(SIGABRT);
    capture.users = 1;
    release_log();
    return 0;
}

const char *fixture_log(struct fixture *fixture)
{
    static char text[65536];
    ssize_t len = pread(capture.file, text, sizeof(text) - 1, fixture->log_from);

    text[len > 0 ? len : 0] = '\0';
    return text;
}

int fixture_log_count(struct fixture *fixture, const char *text)
{
    int count = 0;

    for (const char *at = fixture_log(fixture); (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

void on_answer(const redisReply *reply, int err, void *arg)
{
    struct answer *answer = arg;

    answer->times++;
    answer->order = ++answer->fixture->answered;
    answer->err = err;
    if (!reply)
        return;
    answer->type = reply->type;
    answer->integer = reply->integer;
    answer->elements = reply->elements;
    snprintf(answer->text, sizeof(answer->text), "%s", reply->str ? reply->str : "");
}
