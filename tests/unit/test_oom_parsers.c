/* Lets each allocation of the parsers and writers fail, once alone and once with all later ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/problem.h"
#include "common/base/sse.h"
#include "common/config/options.h"
#include "common/http/request_parser.h"
#include "common/models/plan_text.h"
#include "common/redis/address.h"
#include "common/redis/replies.h"
#include "common/task/task_event.h"
#include "common/task/task_spec.h"
#include "gateway/access/cors.h"
#include "gateway/options.h"
#include "gateway/request/url_check.h"
#include "gateway/request/validate.h"
#include "gateway/streams/frames.h"
#include "tests/support/alloc_failure.h"
#include "tests/support/builtin_catalogue.h"
#include "worker/ark/answer.h"
#include "worker/ark/request.h"

#define BYTES(text) text, sizeof(text) - 1
#define URL         "https://example.com/a/picture/with/a/long/name/so/that/buffers/grow.png"

/* A call that fails must leave the output unchanged. */
static bool is_untouched(const void *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)out)[i] != 0xa5)
            return false;
    return true;
}

/* -- tasks */

static const char stored[] =
    "{\"max_images\":3,\"max_paid_calls\":1,\"model\":\"doubao-seedream-4-0-250828\",\"prompt\":\"两只\\\"猫\\\"\\n\","
    "\"seed\":12345,\"size\":\"2K\",\"urls\":[\"" URL "\",\"" URL "?2\"],\"watermark\":false}";

static int read_spec(void)
{
    struct task_spec spec;
    int err;

    memset(&spec, 0xa5, sizeof(spec));
    err = task_spec_read(BYTES(stored), &spec);
    if (err) {
        assert_true(is_untouched(&spec, sizeof(spec)));
        return err;
    }
    assert_int_equal(spec.url_count, 2);
    assert_string_equal(spec.urls[1], URL "?2");
    assert_string_equal(spec.prompt, "两只\"猫\"\n");
    task_spec_deinit(&spec);
    return 0;
}

static const struct task_spec spec_of_two = {
    .urls = {(char[]){URL}, (char[]){URL "?2"}},
    .url_count = 2,
    .prompt = (char[]){"两只\"猫\"\n"            },
    .size = (char[]){"2K"},
    .model = (char[]){"doubao-seedream-4-0-250828"            },
    .max_images = 3,
    .max_paid_calls = 1,
    .watermark_given = true,
    .seed_given = true,
    .seed = 12345,
};

static int write_spec(void)
{
    char *json = NULL;
    int err = task_spec_write(&spec_of_two, &json);

    if (err)
        assert_null(json);
    else
        assert_string_equal(json, stored);
    free(json);
    return err;
}

static const struct request_defaults defaults = {.model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
static struct validate_rules rules = {.max_paid_calls = 2, .id_required = true, .defaults = &defaults};

static int validate_good(void)
{
    static const char body[] =
        "{\"urls\":[\"" URL "\"],\"task_id\":\"a-task-with-a-long-name\",\"prompt\":\"two cats\","
        "\"model\":\"seedream-4-0\",\"size\":\"1024x2048\",\"seed\":123456,\"watermark\":true}";
    struct validate_errors errors;
    struct validated valid;
    int err;

    memset(&valid, 0xa5, sizeof(valid));
    err = validate_body(BYTES(body), &rules, &valid, &errors);
    if (err) {
        assert_true(is_untouched(&valid, sizeof(valid)));
        return err;
    }
    assert_string_equal(valid.task_id, "a-task-with-a-long-name");
    assert_string_equal(valid.spec.urls[0], URL);
    assert_string_equal(valid.spec.prompt, "two cats");
    task_spec_deinit(&valid.spec);
    return 0;
}

/* Running out of memory must not be reported as a fault of the request. */
static int validate_bad(void)
{
    static const char body[] = "{\"urls\":[\"" URL "\",\"ftp://example.com/a-name-of-some-length\"],\"task_id\":\"t\","
                               "\"prompt\":\"two cats\",\"promt\":[1,2,{\"deep\":null}]}";
    struct validate_errors errors;
    struct validated valid;
    int err = validate_body(BYTES(body), &rules, &valid, &errors);

    if (err != ERR_RANGE)
        return err;
    assert_int_equal(errors.count, 2);
    assert_string_equal(errors.fields[0].pointer, "/urls/1");
    assert_string_equal(errors.fields[1].pointer, "/promt");
    return 0;
}

static int validate_not_json(void)
{
    static const char body[] = "{\"urls\":[\"" URL "\"],\"prompt\":\"two cats, and then the end";
    struct validate_errors errors;
    struct validated valid;
    int err = validate_body(BYTES(body), &rules, &valid, &errors);

    if (err != ERR_SYNTAX)
        return err;
    assert_string_equal(errors.syntax, "The body is not valid JSON: line 1, column 120.");
    return 0;
}

/* -- ARK */

static int build_request(void)
{
    struct ark_request request;
    struct plan plan;
    int err;

    memset(&request, 0xa5, sizeof(request));
    (void)plan_make(&plan, &defaults, builtin_catalogue(), &spec_of_two);
    err = ark_request_build(&plan, &spec_of_two, (struct ark_way){0}, &request);
    if (err) {
        assert_true(is_untouched(&request, sizeof(request)));
        return err;
    }
    assert_int_equal(request.len, strlen(request.body));
    assert_non_null(strstr(request.body, URL "?2"));
    ark_request_deinit(&request);
    return 0;
}

static int read_catalogue(void)
{
    static const char text[] = "{\"models\":[{\"name\":\"ours\",\"like\":\"seedream-4-0\"}]}";
    struct catalogue *out = NULL;
    struct buf why;
    int err;

    buf_init(&why, CATALOGUE_WHY_MAX);
    err = catalogue_read(BYTES(text), builtin_catalogue(), &out, &why);
    if (err)
        assert_null(out);
    else
        assert_true(catalogue_find(out, "ours")->group);
    buf_deinit(&why);
    catalogue_unref(out);
    return err;
}

static int read_plan(void)
{
    static const char text[] = "{\"catalogue\":\"V\",\"images\":3,\"model\":\"seedream-4-0\",\"watermark\":false}";
    struct stored_plan plan;
    int err;

    memset(&plan, 0xa5, sizeof(plan));
    err = plan_read(BYTES(text), &plan);
    if (err) {
        assert_true(is_untouched(&plan, sizeof(plan)));
        return err;
    }
    assert_int_equal(plan.plan.images, 3);
    stored_plan_deinit(&plan);
    return 0;
}

struct slots {
    int images, failed;
};

static void on_slot(const struct ark_slot *slot, void *arg)
{
    struct slots *slots = arg;

    if (!slot->url) {
        assert_string_equal(slot->code, "OutputImageSensitiveContentDetected");
        slots->failed++;
        return;
    }
    assert_true(!strcmp(slot->url, URL) ||
                !strcmp(slot->url, "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"));
    slots->images++;
}

/* An answer that could not be stored is incomplete and says why; the images before that are correct. */
static int read_answer(const char *body, size_t piece, struct slots want)
{
    struct slots slots = {0};
    struct ark_answer *answer = ark_answer_create(&(struct ark_answer_setup){
        .expected = 3, .max_bytes = 1 << 20, .max_line = 1 << 20, .on_slot = on_slot, .arg = &slots});
    const struct ark_result *result;
    bool completed;
    int err = 0;

    if (!answer)
        return ERR_NO_MEMORY;
    ark_answer_head(answer, &(struct ark_head){.status = 200});
    for (const char *at = body; *at && !err; at += strnlen(at, piece))
        err = ark_answer_body(answer, at, strnlen(at, piece));
    result = ark_answer_end(answer, err ? "out of memory" : NULL);
    completed = result->completed;
    assert_int_equal(result->images, slots.images);
    assert_int_equal(result->failed, slots.failed);
    assert_true(completed || result->broke);
    if (completed) {
        assert_int_equal(slots.images, want.images);
        assert_int_equal(slots.failed, want.failed);
    } else {
        assert_string_equal(result->broke, "out of memory");
    }
    ark_answer_destroy(answer);
    return completed ? 0 : ERR_NO_MEMORY;
}

#define FAILED "\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"may contain\"}"
#define PNG    "\"b64_json\":\"iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB\""

static const char stream[] =
    "event: image_generation.partial_succeeded\n"
    "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":0,\"url\":\"" URL "\",\"size\":\"1x1\"}\n\n"
    "data: {\"type\":\"image_generation.partial_failed\",\"image_index\":1," FAILED "}\n\n"
    "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":2," PNG "}\n\n"
    "data: {\"type\":\"image_generation.completed\",\"usage\":{\"generated_images\":2,\"total_tokens\":32448}}\n\n"
    "data: [DONE]\n\n";

static int read_stream(void)
{
    return read_answer(stream, 50, (struct slots){.images = 2, .failed = 1});
}

static int read_stream_at_once(void)
{
    return read_answer(stream, sizeof(stream), (struct slots){.images = 2, .failed = 1});
}

static int read_document(void)
{
    return read_answer("{\"model\":\"doubao-seedream-4-0-250828\",\"created\":1757388756,\"data\":[{\"url\":\"" URL
                       "\",\"size\":\"1x1\"},{" FAILED "},{" PNG "}],\"usage\":{\"generated_images\":2}}",
                       50, (struct slots){.images = 2, .failed = 1});
}

/* -- writers: the buffer's error says that the output is incomplete */

static const struct task_progress image = {.stage = STAGE_IMAGE, .task_id = "t", .url = URL, .size = "2048x2048"};

static int end_of(struct buf *out, size_t len)
{
    int err = buf_error(out);

    if (!err)
        assert_int_equal(out->len, len);
    buf_deinit(out);
    return err;
}

static int write_event(void)
{
    static const char want[] =
        "{\"task_id\":\"t\",\"message\":\"第1张图像已生成\",\"stage\":\"image\",\"index\":0,\"image\":"
        "{\"url\":\"" URL "\",\"size\":\"2048x2048\"}}";
    struct buf out;

    buf_init(&out, 4096);
    task_progress_write(&out, &image);
    return end_of(&out, sizeof(want) - 1);
}

static int write_frame(void)
{
    static const char json[] = "{\"event\":\"process\",\"data\":{\"task_id\":\"t\",\"stage\":\"calling\"}}";
    struct buf out;

    buf_init(&out, 4096);
    task_event_write_frame(&out, 1700000000000, &(struct task_event){2, EVENT_PROCESS, BYTES(json)});
    return end_of(&out, strlen("id: 1700000000000-2\nevent: process\ndata: \n\n") + sizeof(json) - 1);
}

static int write_reset(void)
{
    static const char want[] =
        "event: reset\ndata: {\"event\":\"reset\",\"data\":{\"task_id\":\"a-task-with-a-long-name\","
        "\"message\":\"任务记录已不存在\"}}\n\n";
    struct buf out;

    buf_init(&out, 4096);
    frames_add_reset(&out, "public.a-task-with-a-long-name", RESET_NO_TASK);
    return end_of(&out, sizeof(want) - 1);
}

static int write_problem(void)
{
    static const struct problem_field fields[] = {
        {"/urls/0", "must be a string"},
        {"/promt",  "is no field"     }
    };
    struct buf out;
    int err;

    buf_init(&out, 4096);
    problem_write(&out, &(struct problem_details){
                            .problem = PROBLEM_INVALID_FIELDS, .request_id = "r", .fields = fields, .field_count = 2});
    err = buf_error(&out);
    if (!err)
        assert_int_equal(out.data[out.len - 1], '}');
    buf_deinit(&out);
    return err;
}

static int take_text(void)
{
    struct buf out;
    char *text;

    buf_init(&out, 4096);
    for (int i = 0; i < 200; i++)
        buf_add_int(&out, i);
    text = buf_take(&out);
    buf_deinit(&out);
    if (!text)
        return ERR_NO_MEMORY;
    assert_int_equal(strlen(text), 490);
    free(text);
    return 0;
}

static bool on_event(const struct sse_event *event, void *arg)
{
    int *events = arg;

    assert_string_equal(event->event, "process");
    assert_string_equal(event->data, "one line that is long enough to grow over its first room in memory\nand another");
    ++*events;
    return true;
}

static int read_sse(void)
{
    static const char bytes[] =
        "id: 7\nevent: process\ndata: one line that is long enough to grow over its first room in "
        "memory\ndata: and another\n\n";
    struct sse_reader reader;
    int events = 0, err;

    sse_reader_init(&reader, 4096, on_event, &events);
    err = sse_reader_feed(&reader, BYTES(bytes));
    assert_int_equal(events, !err);
    sse_reader_deinit(&reader);
    return err;
}

/* -- configuration */

static int load_options(void)
{
    char name[] = "gateway", flag[] = "--listen=127.0.0.1:0", negated[] = "--no-data-urls", level[] = "--log-level",
         debug[] = "debug";
    char origins[] = "GATEWAY_CORS_ORIGINS=https://example.com", wait[] = "GATEWAY_HEARTBEAT=5s",
         other[] = "PATH=/usr/bin";
    char *argv[] = {name, flag, negated, level, debug, NULL}, *environment[] = {origins, wait, other, NULL};
    FILE *said = tmpfile();
    const struct options_world world = {.environment = environment, .env_file = TEST_DATA "/no.env", said, said};
    struct gateway_options options = {0};
    enum options_outcome outcome;

    assert_non_null(said);
    outcome = options_load_from(&world, &gateway_option_table, 5, argv, &options);
    if (outcome == OPTIONS_RUN) {
        assert_string_equal(options.cors_origins, "https://example.com");
        assert_int_equal(options.heartbeat_ms, 5000);
        options_deinit(&gateway_option_table, &options);
    } else {
        assert_int_equal(outcome, OPTIONS_BAD);
        assert_true(ftell(said) > 0);
    }
    fclose(said);
    return outcome == OPTIONS_RUN ? 0 : ERR_NO_MEMORY;
}

static int parse_redis_address(void)
{
    struct redis_address address;
    const char *why = NULL;
    int err;

    memset(&address, 0xa5, sizeof(address));
    err = redis_address_parse("rediss://user:p%40ss@redis.example.com:7000/3", &address, &why);
    if (err) {
        assert_true(is_untouched(&address, sizeof(address)));
        assert_non_null(why);
        return err;
    }
    assert_string_equal(address.password, "p@ss");
    redis_address_deinit(&address);
    return 0;
}

static int parse_sentinels(void)
{
    struct redis_address address;
    const char *why = NULL;
    int err;

    memset(&address, 0xa5, sizeof(address));
    err = redis_address_parse("redis+sentinel://user:p%40ss@a:1,b:2,[::1]:3/main/3", &address, &why);
    if (err) {
        assert_true(is_untouched(&address, sizeof(address)));
        assert_non_null(why);
        return err;
    }
    assert_int_equal(address.sentinel_count, 3);
    redis_address_deinit(&address);
    return 0;
}

static int create_cors(void)
{
    struct cors *cors = cors_create("https://example.com, https://example.org");

    cors_destroy(cors);
    return cors ? 0 : ERR_NO_MEMORY;
}

static int create_replies(void)
{
    struct replies *replies = replies_create(1024 * 1024);

    replies_destroy(replies);
    return replies ? 0 : ERR_NO_MEMORY;
}

/* -- all scenarios */

static const struct alloc_scenario scenarios[] = {
    {"a stored request is read",             read_spec,           false},
    {"a request is written",                 write_spec,          false},
    {"a good body is validated",             validate_good,       false},
    {"a body with mistakes is validated",    validate_bad,        false},
    {"a body that is not JSON is validated", validate_not_json,   false},
    {"a request for ARK is built",           build_request,       false},
    {"a stored plan is read",                read_plan,           false},
    {"a models file is read",                read_catalogue,      false},
    {"an ARK stream is read",                read_stream,         true }, /* its usage may be missing */
    {"an ARK stream is read at once",        read_stream_at_once, true },
    {"an ARK document is read",              read_document,       true },
    {"an event is written",                  write_event,         false},
    {"a frame is written",                   write_frame,         false},
    {"a reset is written",                   write_reset,         false},
    {"a problem is written",                 write_problem,       false},
    {"a text is taken out of its buffer",    take_text,           false},
    {"events are read",                      read_sse,            false},
    {"options are loaded",                   load_options,        false},
    {"an address of Redis is parsed",        parse_redis_address, false},
    {"an address of sentinels is parsed",    parse_sentinels,     false},
    {"a list of origins is kept",            create_cors,         false},
    {"a reader of replies is made",          create_replies,      false},
};

static void test_scenario(void **state)
{
    alloc_failure_try_all(*state);
}

static void test_these_parsers_do_not_allocate(void **state)
{
    static const char head[] =
        "POST /api/v1/faceflip/generate HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\n";
    struct http_limits limits = {.target_max = 4096, .head_max = 8192, .body_max = 65536};
    struct http_request request;
    struct http_parser parser;
    size_t head_len;

    (void)state;
    alloc_failure_begin(1, ALLOC_FOR_EVER);
    http_parser_init(&parser, &limits);
    assert_int_equal(http_parser_run(&parser, BYTES(head), &head_len), HTTP_PARSE_DONE);
    http_parser_request(&parser, head, &request);
    assert_int_equal(url_check(BYTES(URL), false), URL_FINE);
    assert_int_equal(alloc_failure_end(), 0);
    assert_int_equal(request.content_length, 3);
}

enum { SCENARIOS = ARRAY_LENGTH(scenarios) };

int main(void)
{
    struct CMUnitTest tests[SCENARIOS + 1] = {cmocka_unit_test(test_these_parsers_do_not_allocate)};

    alloc_failure_init();
    rules.catalogue = builtin_catalogue();
    for (size_t i = 0; i < SCENARIOS; i++)
        tests[i + 1] = (struct CMUnitTest){.name = scenarios[i].name,
                                           .test_func = test_scenario,
                                           .teardown_func = alloc_failure_teardown,
                                           .initial_state = (void *)(uintptr_t)&scenarios[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
