#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "worker/ark/answer.h"

#define JSON "application/json; charset=utf-8"
#define SSE  "text/event-stream"
#define HTML "text/html"

#define IMAGE(i, url)                                                                                                  \
    "event: image_generation.partial_succeeded\n"                                                                      \
    "data: {\"type\":\"image_generation.partial_succeeded\",\"model\":\"m\",\"created\":1,\"image_index\":" #i         \
    ",\"url\":\"" url "\",\"size\":\"2496x1664\"}\n\n"
#define REFUSED(i)                                                                                                     \
    "event: image_generation.partial_failed\n"                                                                         \
    "data: {\"type\":\"image_generation.partial_failed\",\"model\":\"m\",\"created\":2,\"image_index\":" #i            \
    ",\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"may contain\"}}\n\n"
#define INTERNAL(i)                                                                                                    \
    "data: {\"type\":\"image_generation.partial_failed\",\"image_index\":" #i                                          \
    ",\"error\":{\"code\":\"InternalServiceError\",\"message\":\"boom\"}}\n\n"
#define COMPLETED                                                                                                      \
    "event: image_generation.completed\n"                                                                              \
    "data: {\"type\":\"image_generation.completed\",\"model\":\"m\",\"created\":3,\"usage\":{\"generated_images\":2,"  \
    "\"output_tokens\":32448,\"total_tokens\":32448}}\n\n"
#define DONE       "data: [DONE]\n\n"
#define USAGE      "usage {\"generated_images\":2,\"output_tokens\":32448,\"total_tokens\":32448}\n"
#define IN_FULL(i) "image " #i " https://ark/" #i ".jpeg?X=1&Y=%2F 2496x1664\n"
#define URL(i)     "https://ark/" #i ".jpeg?X=1&Y=%2F"
#define WHY_NOT(i) "failed " #i " OutputImageSensitiveContentDetected: may contain\n"
#define ITEM(i)    "{\"url\":\"" URL(i) "\",\"size\":\"2496x1664\"}"
#define BAD        "{\"error\":{\"code\":\"BadRequest\",\"message\":\"missing parameters. Request ID: {id}\"}}"
#define BAD_ERROR  "error BadRequest: missing parameters. Request ID: {id} []\n"

/* An answer, and the expected text: its slots in order, then the result. Three slots are expected. */
/* clang-format off */
static const struct answer {
    const char *name;
    int status;
    const char *type, *body, *want;
} answers[] = {
    { "a document with images and a refused slot", 200, JSON,
      "{\"model\":\"doubao-seedream-4-0-250828\",\"created\":1757388756,\n"
      " \"data\":[" ITEM(0) ",\n"
      "         {\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"may contain\"}},\n"
      "         " ITEM(2) "],\n"
      " \"usage\":{\"generated_images\":2,\"output_tokens\":32448,\"total_tokens\":32448}}",
      IN_FULL(0) WHY_NOT(1) IN_FULL(2) "completed\n" USAGE },
    { "a document with nulls and its keys in another order", 200, JSON,
      "{\"data\":[{\"size\":\"s\",\"b64_json\":null,\"error\":null,\"url\":\"u\"}],\"error\":null,\"usage\":null}",
      "image 0 u s\ncompleted\n" },
    { "a document that a group's internal error made short", 200, JSON,
      "{\"data\":[" ITEM(0) ",{\"error\":{\"code\":\"InternalServiceError\",\"message\":\"\\\"x\\\"\"}}]}",
      IN_FULL(0) "failed 1 InternalServiceError: \"x\"\ncompleted\nstopped\n" },
    { "an error for all of it with 200", 200, JSON,
      "{\"model\":\"m\",\"created\":1,\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"m\"}}",
      "completed\nerror OutputImageSensitiveContentDetected: m []\n" },
    { "no slots at all", 200, JSON, "{\"model\":\"m\",\"data\":[]}", "completed\n" },
    { "layers", 200, JSON,
      "{\"data\":[{\"url\":\"u\",\"size\":\"s\",\"z_index\":0,\"name\":\"n\","
      "\"bounding_box\":{\"absolute\":[0,0,1,1],\"normalized\":[0,0,1,1]}},{\"url\":\"v\"}]}",
      "image 0 u s\nimage 1 v -\ncompleted\n" },
    { "bytes: jpeg, png, webp, unknown as jpeg", 200, JSON,
      "{\"data\":[{\"b64_json\":\"/9j/4AAQ\",\"size\":\"1x1\"},{\"b64_json\":\"iVBORw0KGgoA\"},"
      "{\"b64_json\":\"UklGRgAA\"},{\"b64_json\":\"AAAA\"}]}",
      "image 0 data:image/jpeg;base64,/9j/4AAQ 1x1\n"
      "image 1 data:image/png;base64,iVBORw0KGgoA -\n"
      "image 2 data:image/webp;base64,UklGRgAA -\n"
      "image 3 data:image/jpeg;base64,AAAA -\n"
      "completed\n" },
    { "slots that are nothing", 200, JSON, "{\"data\":[null,{},{\"url\":\"\"},7,{\"url\":\"u\",\"size\":3}]}",
      "failed 0 NoImage: ARK sent neither an image nor an error for this slot.\n"
      "failed 1 NoImage: ARK sent neither an image nor an error for this slot.\n"
      "failed 2 NoImage: ARK sent neither an image nor an error for this slot.\n"
      "failed 3 NoImage: ARK sent neither an image nor an error for this slot.\n"
      "image 4 u -\n"
      "completed\nblank 4 promised 0\n" },
    { "a document that is called a stream", 200, SSE, "\r\n {\"data\":[{\"url\":\"u\",\"size\":\"s\"}]}\r\n",
      "image 0 u s\ncompleted\n" },
    { "JSON that is not ARK's", 200, JSON, "{\"hello\":\"world\"}",
      "broke: the answer is not a complete JSON document of ARK\n" },
    { "an error in its envelope", 400, JSON,
      "{\"error\":{\"code\":\"InvalidParameter\",\"message\":\"size\",\"param\":\"size\",\"type\":\"BadRequest\"}}",
      "completed\nerror InvalidParameter: size [size]\n" },
    { "an error without its envelope", 400, JSON,
      "{\"code\":\"InvalidParameter\",\"message\":\"size\",\"param\":\"\",\"type\":\"\",\"request_id\":\"0217\"}",
      "completed\nerror InvalidParameter: size []\nrequest 0217\n" },
    { "an error that is a sentence", 502, JSON, "{\"error\":\"upstream\"}", "completed\nerror : upstream []\n" },
    { "a 502 in HTML", 502, HTML, "<html><h1>502 Bad Gateway</h1></html>", "completed\n" },
    { "a 503 in text", 503, "text/plain", "upstream connect error", "completed\n" },
    { "an empty 404", 404, NULL, "", "completed\n" },
    { "a page of HTML with 200", 200, HTML, "<html>login</html>",
      "broke: the answer is neither JSON nor a stream of events\n" },
    { "an empty 200", 200, JSON, "", "broke: the answer is empty\n" },
    { "a complete stream", 200, SSE, IMAGE(0, URL(0)) REFUSED(1) IMAGE(2, URL(2)) COMPLETED DONE,
      IN_FULL(0) WHY_NOT(1) IN_FULL(2) "completed\nfinished\n" USAGE },
    { "a stream that is called JSON", 200, JSON, IMAGE(0, URL(0)) COMPLETED DONE,
      IN_FULL(0) "completed\nfinished\n" USAGE },
    { "a stream with heartbeats, CRLF and no space after the colon", 200, SSE,
      "\xef\xbb\xbf:ping\r\n\r\nevent:image_generation.partial_succeeded\r\n"
      "data:{\"type\":\"image_generation.partial_succeeded\",\"image_index\":0,\"url\":\"u\",\"size\":\"s\"}\r\n\r\n"
      ": ping\r\n\r\ndata:[DONE]\r\n\r\n",
      "image 0 u s\ncompleted\nfinished\n" },
    { "a stream of bytes", 200, SSE,
      "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":0,\"b64_json\":\"iVBORw0KGgoA\"}\n\n"
      DONE,
      "image 0 data:image/png;base64,iVBORw0KGgoA -\ncompleted\nfinished\n" },
    { "a stream that names its types only in event lines", 200, SSE,
      "event: image_generation.partial_succeeded\ndata: {\"image_index\":1,\"url\":\"u\"}\n\n" DONE,
      "image 1 u -\ncompleted\nfinished\n" },
    { "a stream without [DONE]", 200, SSE, IMAGE(0, URL(0)) COMPLETED, IN_FULL(0) "completed\nfinished\n" USAGE },
    { "a stream without completed", 200, SSE, IMAGE(0, URL(0)) DONE, IN_FULL(0) "completed\nfinished\n" },
    { "a stream that just ends after every expected slot", 200, SSE, IMAGE(0, URL(0)) REFUSED(1) IMAGE(2, URL(2)),
      IN_FULL(0) WHY_NOT(1) IN_FULL(2) "completed\n" },
    { "a stream that just ends before that", 200, SSE, IMAGE(0, URL(0)) IMAGE(2, URL(2)),
      IN_FULL(0) IN_FULL(2) "broke: the stream ended before it was complete\n" },
    { "a stream whose only slot failed", 200, SSE, REFUSED(0) COMPLETED, WHY_NOT(0) "completed\nfinished\n" USAGE },
    { "slots out of order", 200, SSE, IMAGE(2, URL(2)) IMAGE(0, URL(0)) IMAGE(1, URL(1)) DONE,
      IN_FULL(2) IN_FULL(0) IN_FULL(1) "completed\nfinished\n" },
    { "two images for one slot", 200, SSE, IMAGE(0, "a") IMAGE(0, "b") IMAGE(0, "c") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\nimage 2 c 2496x1664\ncompleted\nfinished\n" },
    { "an index past all slots", 200, SSE, IMAGE(99, "a") IMAGE(0, "b") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\ncompleted\nfinished\n" },
    { "an index past those expected", 200, SSE, IMAGE(3, "a") IMAGE(0, "b") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\ncompleted\nfinished\n" },
    { "an index below 0", 200, SSE, IMAGE(-1, "a") IMAGE(0, "b") IMAGE(1, "c") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\nimage 2 c 2496x1664\ncompleted\nfinished\n" },
    { "an index that is a text", 200, SSE, IMAGE("1", "a") IMAGE(0, "b") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\ncompleted\nfinished\n" },
    { "an index that is null, a fraction, huge", 200, SSE, IMAGE(null, "a") IMAGE(0.5, "b") IMAGE(1e300, "c") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\nimage 2 c 2496x1664\ncompleted\nfinished\n" },
    { "an index with a point", 200, SSE, IMAGE(2.0, "a") IMAGE(0.0, "b") DONE,
      "image 2 a 2496x1664\nimage 0 b 2496x1664\ncompleted\nfinished\n" },
    { "no index", 200, SSE,
      "data: {\"type\":\"image_generation.partial_succeeded\",\"url\":\"a\"}\n\n" IMAGE(0, "b") DONE,
      "image 0 a -\nimage 1 b 2496x1664\ncompleted\nfinished\n" },
    { "more images than asked for", 200, SSE,
      IMAGE(0, "a") IMAGE(1, "b") IMAGE(2, "c") IMAGE(3, "d") IMAGE(4, "e") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\nimage 2 c 2496x1664\nimage 3 d 2496x1664\nimage 4 e 2496x1664\n"
      "completed\nfinished\n" },
    { "the same link twice, and an image after it", 200, SSE, IMAGE(0, "a") IMAGE(0, "a") IMAGE(1, "a") IMAGE(1, "b") DONE,
      "image 0 a 2496x1664\nimage 1 b 2496x1664\ncompleted\nfinished\n" },
    { "the same bytes twice", 200, JSON, "{\"data\":[{\"b64_json\":\"AAAA\"},{\"b64_json\":\"AAAA\"},{\"b64_json\":\"AAAB\"}]}",
      "image 0 data:image/jpeg;base64,AAAA -\nimage 2 data:image/jpeg;base64,AAAB -\ncompleted\n" },
    { "a slot that fails after its image, and twice", 200, SSE, IMAGE(2, "a") REFUSED(2) REFUSED(0) REFUSED(0) DONE,
      "image 2 a 2496x1664\n" WHY_NOT(0) "completed\nfinished\n" },
    { "an image after its slot has failed", 200, SSE, REFUSED(0) IMAGE(0, "a") DONE,
      WHY_NOT(0) "image 1 a 2496x1664\ncompleted\nfinished\n" },
    { "a success without an image", 200, SSE, IMAGE(0, "") COMPLETED,
      "failed 0 NoImage: ARK sent neither an image nor an error for this slot.\n"
      "completed\nfinished\nblank 1 promised 1\n" USAGE },
    { "a failure without an error", 200, SSE,
      "data: {\"type\":\"image_generation.partial_failed\",\"image_index\":1}\n\n" DONE,
      "failed 1 NoImage: ARK sent neither an image nor an error for this slot.\ncompleted\nfinished\n" },
    { "a group that an internal error stopped, and no end", 200, SSE, IMAGE(0, "a") INTERNAL(1),
      "image 0 a 2496x1664\nfailed 1 InternalServiceError: boom\ncompleted\nstopped\n" },
    { "numbers and texts that jansson refuses", 200, SSE,
      "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":1,\"url\":\"u\",\"seed\":99999999999999999999,"
      "\"note\":\"\\u0000\"}\n\n" DONE,
      "image 1 u -\ncompleted\nfinished\n" },
    { "a slot without its array", 200, JSON, "{\"data\":{\"url\":\"u\",\"size\":\"s\"}}", "image 0 u s\ncompleted\n" },
    { "a job in the place of slots", 200, JSON, "{\"code\":0,\"data\":{\"task_id\":\"x\"}}",
      "job\nbroke: the answer is not a complete JSON document of ARK\n" },
    { "a job", 200, JSON, "{\"task_id\":\"x\",\"status\":\"submitted\"}",
      "job\nbroke: the answer is not a complete JSON document of ARK\n" },
    { "a job by its id", 200, JSON, "{\"id\":\"x\"}", "job\nbroke: the answer is not a complete JSON document of ARK\n" },
    { "a job in a stream", 200, SSE, "data: {\"task_id\":\"x\",\"status\":\"submitted\"}\n\n" DONE, "completed\nfinished\njob\n" },
    { "a count as text", 200, JSON, "{\"data\":[],\"usage\":{\"generated_images\":\"2\"}}",
      "completed\nusage {\"generated_images\":\"2\"}\ngenerated 2\n" },
    { "a count with a point", 200, JSON, "{\"data\":[],\"usage\":{\"generated_images\":2.0}}",
      "completed\nusage {\"generated_images\":2.0}\ngenerated 2\n" },
    { "a fraction of a count, as text", 200, JSON, "{\"data\":[],\"usage\":{\"generated_images\":\"0.5\"}}",
      "completed\nusage {\"generated_images\":\"0.5\"}\ngenerated 1\n" },
    { "a count past all bounds", 200, JSON, "{\"data\":[],\"usage\":{\"generated_images\":1e30}}",
      "completed\nusage {\"generated_images\":1e30}\ngenerated 128\n" },
    { "counts that are none", 200, JSON, "{\"data\":[],\"usage\":{\"generated_images\":\"two\",\"output_tokens\":\"9 \"}}",
      "completed\ntokens\nusage {\"generated_images\":\"two\",\"output_tokens\":\"9 \"}\n" },
    { "types that are not known, and data that is no JSON", 200, SSE,
      "event: image_generation.partial_image\n"
      "data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA\"}\n\n"
      "event: ping\ndata: {}\n\ndata: {{{\n\ndata: []\n\ndata:\n\n" IMAGE(0, URL(0)) DONE,
      IN_FULL(0) "completed\nfinished\n" },
    { "an error for all of it, as an error event", 200, SSE, "event: error\ndata: " BAD "\n\n",
      "completed\nfinished\n" BAD_ERROR },
    { "the same without an event line", 200, SSE, "data: " BAD "\n\n", "completed\nfinished\n" BAD_ERROR },
    { "the same as a bare line", 200, SSE, ": hi\n\n" BAD "\n", "completed\nfinished\n" BAD_ERROR },
    { "a bare line after an event line", 200, SSE, "event: error\n" BAD "\n\n", "completed\nfinished\n" BAD_ERROR },
    { "a bare line without an end", 200, SSE, IMAGE(0, URL(0)) BAD, IN_FULL(0) "completed\nfinished\n" BAD_ERROR },
    { "nothing but a bare line", 200, SSE, BAD "\n\n" DONE, "completed\n" BAD_ERROR },
    { "an error event without an envelope", 200, SSE, "event: error\ndata: {\"code\":\"C\",\"message\":\"m\"}\n\n",
      "completed\nfinished\nerror C: m []\n" },
    { "an error after an image", 200, SSE, IMAGE(0, URL(0)) "data: " BAD "\n\n" IMAGE(1, URL(1)),
      IN_FULL(0) "completed\nfinished\n" BAD_ERROR },
    { "a last event without its blank line", 200, SSE,
      "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":0,\"url\":\"u\",\"size\":\"s\"}",
      "image 0 u s\nbroke: the stream ended before it was complete\n" },
};

/* clang-format on */

static void on_slot(const struct ark_slot *slot, void *arg)
{
    struct buf *out = arg;

    assert_in_range(slot->index, 0, ARK_SLOTS_MAX - 1);
    if (slot->url)
        buf_addf(out, "image %d %s %s\n", slot->index, slot->url, slot->size ? slot->size : "-");
    else
        buf_addf(out, "failed %d %s: %s\n", slot->index, slot->code, slot->message);
}

static int count_seen(const struct ark_result *result)
{
    int count = 0;

    for (int i = 0; i < ARK_SLOTS_MAX; i++)
        count += result->seen[i];
    return count;
}

static void add_result(struct buf *out, const struct ark_result *result, bool finished)
{
    if (result->completed)
        buf_add_text(out, "completed\n");
    if (finished)
        buf_add_text(out, "finished\n");
    if (result->stopped)
        buf_add_text(out, "stopped\n");
    if (result->blank)
        buf_addf(out, "blank %d promised %d\n", result->blank, result->promised);
    if (result->is_job)
        buf_add_text(out, "job\n");
    if (result->has_tokens && !strstr(USAGE, result->usage))
        buf_add_text(out, "tokens\n");
    if (result->broke)
        buf_addf(out, "broke: %s\n", result->broke);
    if (*result->usage)
        buf_addf(out, "usage %s\n", result->usage);
    if (result->generated >= 0 && !strstr(USAGE, result->usage))
        buf_addf(out, "generated %d\n", result->generated);
    if (result->has_error)
        buf_addf(out, "error %s: %s [%s]\n", result->error.code, result->error.message, result->error.param);
    if (*result->request_id)
        buf_addf(out, "request %s\n", result->request_id);
    assert_int_equal(!result->broke, result->completed);
    assert_int_equal(count_seen(result), result->images + result->failed);
}

/* One answer that was read: its slots and its result as text. */
struct run {
    struct ark_answer *answer;
    struct buf text;
};

static void run_start(struct run *run, const struct answer *answer)
{
    struct ark_answer_setup setup = {
        .expected = 3, .max_bytes = 1 << 20, .max_line = 1 << 20, .on_slot = on_slot, .arg = &run->text};

    buf_init(&run->text, 1 << 20);
    run->answer = ark_answer_create(&setup);
    assert_non_null(run->answer);
    ark_answer_head(run->answer, &(struct ark_head){.status = answer->status, .content_type = answer->type});
}

static void run_feed(struct run *run, const char *bytes, size_t len)
{
    /* A separate allocation, so that the sanitizer detects reading past the piece. */
    char *piece = malloc(len ? len : 1);

    assert_non_null(piece);
    memcpy(piece, bytes, len);
    assert_int_equal(ark_answer_body(run->answer, piece, len), 0);
    free(piece);
}

static const struct ark_result *run_end(struct run *run, const char *broke)
{
    const struct ark_result *result = ark_answer_end(run->answer, broke);

    assert_ptr_equal(ark_answer_end(run->answer, "twice"), result);
    add_result(&run->text, result, ark_answer_finished(run->answer));
    return result;
}

static void run_free(struct run *run)
{
    run->answer = ark_answer_destroy(run->answer);
    buf_deinit(&run->text);
}

static void reads_every_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct run run;

        print_message("  %s\n", answers[i].name);
        run_start(&run, &answers[i]);
        run_feed(&run, answers[i].body, strlen(answers[i].body));
        (void)run_end(&run, NULL);
        assert_string_equal(buf_text(&run.text), answers[i].want);
        run_free(&run);
    }
}

static void reads_every_answer_cut_in_two_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        size_t len = strlen(answers[i].body);

        for (size_t cut = 0; cut <= len; cut++) {
            struct run run;

            run_start(&run, &answers[i]);
            run_feed(&run, answers[i].body, cut);
            run_feed(&run, answers[i].body + cut, len - cut);
            (void)run_end(&run, NULL);
            assert_string_equal(buf_text(&run.text), answers[i].want);
            run_free(&run);
        }
    }
}

static void reads_every_answer_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct run run;

        run_start(&run, &answers[i]);
        for (const char *byte = answers[i].body; *byte; byte++)
            run_feed(&run, byte, 1);
        (void)run_end(&run, NULL);
        assert_string_equal(buf_text(&run.text), answers[i].want);
        run_free(&run);
    }
}

/* Only the lines of a text that describe images. */
static void only_images(struct buf *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n") + 1;

        if (!strncmp(text, "image ", 6))
            buf_add(out, text, len);
        text += len;
    }
}

/* The number of images that are complete before the cut. In all answers here except the one with layers, the first brace after a url
 * closes its object. */
static int images_before(const struct answer *answer, size_t cut)
{
    const char *at = answer->body;
    int count = 0;

    while ((at = strstr(at, "\"url\":\"")) && at[7] != '"' && (at = strchr(at, '}')))
        count += (size_t)(at - answer->body) < cut;
    return count;
}

static void keeps_the_images_before_a_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        size_t len = strlen(answers[i].body);
        int whole = 0;

        for (size_t cut = 0; cut <= len; cut++) {
            struct run run;
            struct buf got, want;
            const struct ark_result *result;

            run_start(&run, &answers[i]);
            run_feed(&run, answers[i].body, cut);
            result = run_end(&run, "the connection was reset");
            buf_init(&got, 1 << 20);
            buf_init(&want, 1 << 20);
            only_images(&got, buf_text(&run.text));
            only_images(&want, answers[i].want);
            /* The same images in the same order, up to the cut. */
            if (strncmp(buf_text(&got), buf_text(&want), got.len))
                fail_msg("%s, cut at %zu: %s", answers[i].name, cut, buf_text(&got));
            if (result->images < whole)
                fail_msg("%s, cut at %zu: an image is gone again", answers[i].name, cut);
            whole = result->images;
            if (!strstr(answers[i].name, "layers") && !strstr(answers[i].name, "twice") &&
                !strstr(answers[i].name, "error after") && !strstr(answers[i].name, "nothing") &&
                !strstr(answers[i].name, "without its array"))
                if (result->images < images_before(&answers[i], cut))
                    fail_msg("%s, cut at %zu: only %d images", answers[i].name, cut, result->images);
            buf_deinit(&got);
            buf_deinit(&want);
            run_free(&run);
        }
    }
}

static void a_stream_reports_each_image_at_once(void **state)
{
    const struct answer stream = {.status = 200, .type = SSE};
    struct run run;

    (void)state;
    run_start(&run, &stream);
    run_feed(&run, IMAGE(0, URL(0)), strlen(IMAGE(0, URL(0))));
    assert_string_equal(buf_text(&run.text), IN_FULL(0));
    assert_false(ark_answer_finished(run.answer));
    run_feed(&run, COMPLETED, strlen(COMPLETED));
    assert_true(ark_answer_finished(run.answer));
    run_feed(&run, IMAGE(1, URL(1)), strlen(IMAGE(1, URL(1)))); /* too late: ignored */
    assert_int_equal(run_end(&run, "reset after the end")->images, 1);
    assert_int_equal(ark_answer_body(run.answer, "x", 1), 0);
    run_free(&run);
}

static void reports_why_a_stream_broke(void **state)
{
    const struct answer stream = {.status = 200, .type = SSE};
    char words[] = "connection reset";
    const struct ark_result *result;
    struct run run;

    (void)state;
    run_start(&run, &stream);
    run_feed(&run, IMAGE(0, URL(0)), strlen(IMAGE(0, URL(0))));
    result = run_end(&run, words);
    memset(words, 'x', strlen(words));
    assert_string_equal(result->broke, "connection reset");
    assert_int_equal(result->images, 1);
    assert_int_equal(count_seen(result), 1);
    assert_true(result->seen[0]);
    assert_int_equal(result->generated, -1);
    run_free(&run);
}

static void counts_charged_images(void **state)
{
    const struct answer stream = {.status = 200, .type = SSE};
    struct run run;

    (void)state;
    run_start(&run, &stream);
    run_feed(&run, COMPLETED, strlen(COMPLETED));
    assert_int_equal(run_end(&run, NULL)->generated, 2);
    run_free(&run);
}

static void reads_an_answer_without_a_head(void **state)
{
    struct ark_answer_setup setup = {.expected = 1, .max_bytes = 100, .max_line = 100};
    struct ark_answer *answer = ark_answer_create(&setup);
    const struct ark_result *result;

    (void)state;
    assert_non_null(answer);
    result = ark_answer_end(answer, "could not connect");
    assert_int_equal(result->http_status, 0);
    assert_false(result->completed);
    assert_string_equal(result->broke, "could not connect");
    assert_null(ark_answer_destroy(answer));
    assert_null(ark_answer_destroy(NULL));
}

static void stops_at_its_limits(void **state)
{
    struct ark_answer_setup setup = {.expected = 1, .max_bytes = 400, .max_line = 60};
    char line[400];
    struct ark_answer *answer;

    (void)state;
    memset(line, 'x', sizeof(line));
    answer = ark_answer_create(&setup);
    assert_non_null(answer);
    ark_answer_head(answer, &(struct ark_head){.status = 200, .content_type = SSE});
    assert_int_equal(ark_answer_body(answer, "data: ", 6), 0);
    assert_int_equal(ark_answer_body(answer, line, 100), ERR_TOO_LONG);
    assert_false(ark_answer_end(answer, "too large")->completed);
    answer = ark_answer_destroy(answer);

    answer = ark_answer_create(&setup);
    assert_non_null(answer);
    ark_answer_head(answer, &(struct ark_head){.status = 200, .content_type = HTML});
    assert_int_equal(ark_answer_body(answer, "<", 1), 0);
    assert_int_equal(ark_answer_body(answer, line, 399), 0);
    assert_int_equal(ark_answer_body(answer, line, 1), ERR_TOO_LONG);
    answer = ark_answer_destroy(answer);
}

static const struct {
    const char *name, *text;
    int64_t want_ms;
} waits[] = {
    {"seconds",                    "2",                                2000                  },
    {"none",                       NULL,                               0                     },
    {"an empty one",               "",                                 0                     },
    {"no number",                  "soon",                             ARK_RETRY_AFTER_MIN_MS},
    {"a negative number",          "-5",                               ARK_RETRY_AFTER_MIN_MS},
    {"a number with a unit",       "5s",                               ARK_RETRY_AFTER_MIN_MS},
    {"none to wait",               "0",                                ARK_RETRY_AFTER_MIN_MS},
    {"a fraction",                 "1.5",                              2000                  },
    {"a small fraction",           "0.01",                             1000                  },
    {"a fraction of zero",         "3.00",                             3000                  },
    {"two lines",                  "7\n3",                             7000                  },
    {"two lines in reverse order", "3\n7",                             7000                  },
    {"two in one line",            "3, 7",                             7000                  },
    {"junk and a number",          "x\n4",                             4000                  },
    {"a date and a number",        "Sun, 06 Nov 1994 08:49:37 GMT\n9", 9000                  },
    {"a number and a date",        "2\nSun, 06 Nov 1994 08:49:37 GMT", 7000                  },
    {"an old form of a date",      "Sunday, 06-Nov-94 08:49:37 GMT",   7000                  },
    {"an asctime date",            "Sun Nov  6 08:49:37 1994",         7000                  },
    {"a long wait is capped",      "86400",                            ARK_RETRY_AFTER_MAX_MS},
    {"a huge number is capped",    "99999999999999999999999999",       ARK_RETRY_AFTER_MAX_MS},
    {"a date",                     "Sun, 06 Nov 1994 08:49:37 GMT",    7000                  },
    {"a date in the past",         "Sun, 06 Nov 1994 08:49:00 GMT",    ARK_RETRY_AFTER_MIN_MS},
    {"a date far in the future",   "Sun, 06 Nov 2094 08:49:37 GMT",    ARK_RETRY_AFTER_MAX_MS},
};

static void reads_retry_after(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
        struct ark_answer *answer = ark_answer_create(&(struct ark_answer_setup){.expected = 1});

        assert_non_null(answer);
        print_message("  %s\n", waits[i].name);
        ark_answer_head(answer, &(struct ark_head){.status = 429,
                                                   .retry_after = waits[i].text,
                                                   .request_id = "0217",
                                                   .now_ms = INT64_C(784111770000)});
        assert_int_equal(ark_answer_end(answer, NULL)->retry_after_ms, waits[i].want_ms);
        assert_string_equal(ark_answer_end(answer, NULL)->request_id, "0217");
        answer = ark_answer_destroy(answer);
    }
}

static void truncates_long_texts_between_characters(void **state)
{
    const struct answer refusal = {.status = 400, .type = JSON};
    const struct ark_result *result;
    struct run run;
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 16);
    buf_add_text(&body, "{\"error\":{\"code\":\"C\",\"message\":\"");
    for (int i = 0; i < 1000; i++)
        buf_add_text(&body, "图");
    buf_add_text(&body, "\"}}");
    run_start(&run, &refusal);
    run_feed(&run, body.data, body.len);
    result = run_end(&run, NULL);
    assert_int_equal(strlen(result->error.message), 2046 + strlen("…"));
    assert_string_equal(result->error.message + 2046, "…");
    assert_int_equal(strspn(result->error.message, "图"), 2046);
    run_free(&run);
    buf_deinit(&body);
}

static void drops_a_usage_that_is_too_long(void **state)
{
    const struct answer document = {.status = 200, .type = JSON};
    const struct ark_result *result;
    struct run run;
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 16);
    buf_add_text(&body, "{\"data\":[{\"url\":\"u\"}],\"usage\":{\"generated_images\":1,\"x\":\"");
    for (int i = 0; i < ARK_USAGE_MAX; i++)
        buf_add_text(&body, "y");
    buf_add_text(&body, "\"}}");
    run_start(&run, &document);
    run_feed(&run, body.data, body.len);
    result = run_end(&run, NULL);
    assert_string_equal(result->usage, "");
    assert_int_equal(result->generated, 1);
    assert_int_equal(result->images, 1);
    run_free(&run);
    buf_deinit(&body);
}

static void drops_slots_above_the_maximum(void **state)
{
    const struct answer document = {.status = 200, .type = JSON};
    struct run run;
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 16);
    buf_add_text(&body, "{\"data\":[{\"url\":\"u\"}");
    for (int i = 0; i < 2 * ARK_SLOTS_MAX; i++)
        buf_addf(&body, ",{\"url\":\"u%d\"}", i);
    buf_add_text(&body, "]}");
    run_start(&run, &document);
    run_feed(&run, body.data, body.len);
    assert_int_equal(run_end(&run, NULL)->images, ARK_SLOTS_MAX);
    run_free(&run);
    buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_answer),
        cmocka_unit_test(reads_every_answer_cut_in_two_anywhere),
        cmocka_unit_test(reads_every_answer_byte_by_byte),
        cmocka_unit_test(keeps_the_images_before_a_cut),
        cmocka_unit_test(a_stream_reports_each_image_at_once),
        cmocka_unit_test(reports_why_a_stream_broke),
        cmocka_unit_test(counts_charged_images),
        cmocka_unit_test(reads_an_answer_without_a_head),
        cmocka_unit_test(stops_at_its_limits),
        cmocka_unit_test(reads_retry_after),
        cmocka_unit_test(truncates_long_texts_between_characters),
        cmocka_unit_test(drops_a_usage_that_is_too_long),
        cmocka_unit_test(drops_slots_above_the_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
