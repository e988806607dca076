#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/answer.h"

#define ID    "021758005348475c0aff847c202c3af808452f8823ee7ffd559cc"
#define MODEL "doubao-seedream-4-0-250828"

static const struct sim_framing plain = {0}, odd = {.crlf = true, .comments = true};
static const struct sim_answer answer = {.model = MODEL, .created = 1757396757};
static const struct sim_slot good = {.index = 0, .width = 2496, .height = 1664, .url = "https://h/i?a=b&c=%2F"};
static const struct sim_slot bad = {.index = 2, .code = "OutputImageSensitiveContentDetected"};

static void assert_written(struct buf *out, const char *expected)
{
    assert_int_equal(buf_error(out), 0);
    assert_string_equal(buf_text(out), expected);
    buf_deinit(out);
}

static struct buf empty(void)
{
    struct buf out;

    buf_init(&out, 65536);
    return out;
}

static void test_request_ids_have_53_characters(void **state)
{
    char id[SIM_REQUEST_ID_SIZE];

    (void)state;
    sim_request_id(id, 1758005348475, "c0aff847c202c3af808452f8823ee7ffd559cc");
    assert_string_equal(id, ID);
    assert_int_equal(strlen(id), 53);
}

static void test_an_error_has_four_keys(void **state)
{
    struct buf out = empty();
    struct sim_error error;

    (void)state;
    sim_error_about(&error, "InvalidParameter", "size", "The \"%s\" is bad.", "size");
    sim_answer_error(&out, &error, ID, SIM_BODY_ERROR);
    assert_written(&out,
                   "{\"error\":{\"code\":\"InvalidParameter\",\"message\":\"The \\\"size\\\" is bad. Request id: " ID
                   "\",\"param\":\"size\",\"type\":\"BadRequest\"}}");
}

static void test_an_unwrapped_error_carries_its_request_id(void **state)
{
    struct buf out = empty();
    struct sim_error error;

    (void)state;
    sim_error_init(&error, "InternalServiceError");
    sim_answer_error(&out, &error, ID, SIM_BODY_UNWRAPPED);
    assert_written(
        &out, "{\"code\":\"InternalServiceError\",\"message\":\"The service encountered an unexpected internal error. "
              "Request id: " ID "\",\"param\":\"\",\"type\":\"InternalServerError\",\"request_id\":\"" ID "\"}");
}

static void test_the_first_part_of_a_dotted_code_decides_the_status(void **state)
{
    struct sim_error error;

    (void)state;
    sim_error_init(&error, "InputImageSensitiveContentDetected.PrivacyInformation");
    assert_int_equal(error.status, 400);
    assert_string_equal(error.code, "InputImageSensitiveContentDetected.PrivacyInformation");
    assert_int_equal(sim_error_kind_of("QuotaExceeded.AgentPlanQuotaExceeded")->status, 429);
    assert_int_equal(sim_error_kind_of("NobodyKnowsThis")->status, 500);
    assert_string_equal(sim_error_kind_of_status(429)->code, "ModelAccountIpmRateLimitExceeded");
    assert_string_equal(sim_error_kind_of_status(418)->code, "InvalidParameter");
    assert_string_equal(sim_error_kind_of_status(504)->code, "InternalServiceError");
}

static void test_a_stream_has_exactly_these_bytes(void **state)
{
    const struct sim_usage usage = {.images = 3, .pixels = 3 * 2496 * 1664};
    struct buf out = empty();

    (void)state;
    sim_frame_slot(&out, &plain, &answer, &good);
    sim_frame_slot(&out, &plain, &answer, &bad);
    sim_frame_completed(&out, &plain, &answer, &usage);
    sim_frame_done(&out, &plain);
    assert_written(
        &out,
        "event: image_generation.partial_succeeded\n"
        "data: {\"type\":\"image_generation.partial_succeeded\",\"model\":\"" MODEL "\",\"created\":1757396757,"
        "\"image_index\":0,\"url\":\"https://h/i?a=b&c=%2F\",\"size\":\"2496x1664\"}\n\n"
        "event: image_generation.partial_failed\n"
        "data: {\"type\":\"image_generation.partial_failed\",\"model\":\"" MODEL
        "\",\"created\":1757396757,\"image_index\":2,"
        "\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"The request failed because the output image "
        "may contain sensitive information.\"}}\n\n"
        "event: image_generation.completed\n"
        "data: {\"type\":\"image_generation.completed\",\"model\":\"" MODEL "\",\"created\":1757396757,\"usage\":"
        "{\"generated_images\":3,\"output_tokens\":48672,\"total_tokens\":48672}}\n\n"
        "data: [DONE]\n\n");
}

static void test_frames_can_have_crlf_and_comments(void **state)
{
    const struct sim_slot slot = {.index = 1, .width = 1, .height = 2, .b64 = "AAAA", .b64_len = 4};
    struct buf out = empty();

    (void)state;
    sim_frame_slot(&out, &odd, &answer, &slot);
    sim_frame_done(&out, &odd);
    assert_written(&out, ": keep-alive\r\n\r\nevent: image_generation.partial_succeeded\r\n"
                         "data: {\"type\":\"image_generation.partial_succeeded\",\"model\":\"" MODEL
                         "\",\"created\":1757396757,"
                         "\"image_index\":1,\"b64_json\":\"AAAA\",\"size\":\"1x2\"}\r\n\r\n"
                         ": keep-alive\r\n\r\ndata: [DONE]\r\n\r\n");
}

static void test_error_frames_have_three_spellings(void **state)
{
    static const struct {
        enum sim_error_frame spelling;
        const char *before;
    } rows[] = {
        {SIM_FRAME_EVENT, "event: error\ndata: {\"error\":{"},
        {SIM_FRAME_DATA,  "data: {\"error\":{"              },
        {SIM_FRAME_BARE,  "{\"error\":{"                    }
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buf out = empty();
        struct sim_error error;

        sim_error_init(&error, "InternalServiceError");
        sim_frame_error(&out, &plain, &error, ID, rows[i].spelling);
        assert_memory_equal(buf_text(&out), rows[i].before, strlen(rows[i].before));
        assert_string_equal(buf_text(&out) + out.len - 4, "}}\n\n");
        buf_deinit(&out);
    }
}

static void test_the_json_answer_has_one_item_per_picture(void **state)
{
    const struct sim_usage usage = {.images = 1, .pixels = 1760 * 2368, .web_search = true};
    const struct sim_answer searched = {.model = MODEL, .created = 7, .web_search = true};
    struct buf slots = empty(), out = empty();

    (void)state;
    sim_answer_slot(&slots, &good);
    sim_answer_slot(&slots, &bad);
    sim_answer_body(&out, &searched, buf_text(&slots), &usage, NULL);
    buf_deinit(&slots);
    assert_written(
        &out,
        "{\"model\":\"" MODEL "\",\"created\":7,\"data\":[{\"url\":\"https://h/i?a=b&c=%2F\",\"size\":\"2496x1664\"},"
        "{\"error\":{\"code\":\"OutputImageSensitiveContentDetected\",\"message\":\"The request failed because "
        "the output image may contain sensitive information.\"}}],"
        "\"usage\":{\"generated_images\":1,\"output_tokens\":16280,\"total_tokens\":16280,"
        "\"tool_usage\":{\"web_search\":1}},\"tools\":[{\"type\":\"web_search\"}]}");
}

static void test_an_answer_without_pictures_has_an_error_on_top(void **state)
{
    const struct sim_usage usage = {0};
    struct buf out = empty();

    (void)state;
    sim_answer_body(&out, &answer, "", &usage, "InternalServiceError");
    assert_written(&out,
                   "{\"model\":\"" MODEL "\",\"created\":1757396757,\"data\":[],\"usage\":{\"generated_images\":0,"
                   "\"output_tokens\":0,\"total_tokens\":0},\"error\":{\"code\":\"InternalServiceError\",\"message\":"
                   "\"The service encountered an unexpected internal error.\"}}");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_ids_have_53_characters),
        cmocka_unit_test(test_an_error_has_four_keys),
        cmocka_unit_test(test_an_unwrapped_error_carries_its_request_id),
        cmocka_unit_test(test_the_first_part_of_a_dotted_code_decides_the_status),
        cmocka_unit_test(test_a_stream_has_exactly_these_bytes),
        cmocka_unit_test(test_frames_can_have_crlf_and_comments),
        cmocka_unit_test(test_error_frames_have_three_spellings),
        cmocka_unit_test(test_the_json_answer_has_one_item_per_picture),
        cmocka_unit_test(test_an_answer_without_pictures_has_an_error_on_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
