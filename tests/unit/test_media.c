#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/request/headers.h"

/* clang-format off */
static const struct { const char *name, *value; bool is_json; } types[] = {
    { "plain",                        "application/json",                       true },
    { "capitals",                     "Application/JSON",                       true },
    { "charset",                      "application/json; charset=utf-8",        true },
    { "charset in capitals, tight",   "application/json;Charset=UTF-8",         true },
    { "charset in quotes",            "application/json; charset=\"utf-8\"",    true },
    { "charset without the hyphen",   "application/json; charset=utf8",         true },
    { "the same in capitals, quoted", "application/json; charset=\"UTF8\"",     true },
    { "charset in capitals, quoted",  "application/json; charset=\"Utf-8\"",    true },
    { "half a quote",                 "application/json; charset=\"utf-8",      false },
    { "a quote alone",                "application/json; charset=\"",           false },
    { "no charset",                   "application/json; charset=",             false },
    { "an empty charset",             "application/json; charset=\"\"",         false },
    { "one of two is another",        "application/json; charset=utf8; charset=latin1", false },
    { "UTF-16",                       "application/json; charset=utf-16",       false },
    { "another parameter",            "application/json; profile=x",            true },
    { "an empty parameter",           "application/json;",                      true },
    { "another charset",              "application/json; charset=latin1",       false },
    { "a charset that goes on",       "application/json; charset=utf-8x",       false },
    { "text",                         "text/plain",                             false },
    { "a form",                       "multipart/form-data; boundary=x",        false },
    { "a longer name",                "application/jsonx",                      false },
    { "a problem",                    "application/problem+json",               false },
    { "empty",                        "",                                       false },
};

static const struct { const char *name, *accept; bool accepted; } accepts[] = {
    { "exactly",                      "text/event-stream",                      true },
    { "capitals",                     "Text/Event-Stream",                      true },
    { "anything",                     "*/*",                                    true },
    { "any text",                     "text/*",                                 true },
    { "one of several",               "application/json, text/event-stream",    true },
    { "what axios sends",             "application/json, text/plain, */*",      true },
    { "with a quality",               "text/event-stream;q=0.5",                true },
    { "a tiny quality",               "text/event-stream;q=0.001",              true },
    { "another parameter",            "text/event-stream; charset=utf-8",       true },
    { "excluded among others",        "*/*, text/event-stream;q=0",             false },
    { "excluded first",               "text/event-stream;q=0, */*",             false },
    { "excluded by type",             "text/*;q=0.0, */*",                      false },
    { "excluded, but named",          "text/event-stream, text/*;q=0",          true },
    { "excluded with spaces",         "text/event-stream ; q=0.000",            false },
    { "a byte that is no text",       "text/event-stream;q=0\xff",              true },
    { "only JSON",                    "application/json",                       false },
    { "a name that goes on",          "text/event-streams",                     false },
    { "half a range",                 "text",                                   false },
    { "no type but a subtype",        "*/event-stream",                         false },
    { "empty",                        "",                                       false },
    { "only commas",                  ", ,",                                    false },
};
static const struct { const char *name, *value; bool is_image; } images[] = {
    { "a type of images",             "image/png",                              true },
    { "capitals",                     "Image/JPEG",                             true },
    { "a parameter",                  "image/heic; x=y",                        true },
    { "a type that is not known",     "image/x-raw",                            true },
    { "any bytes",                    "application/octet-stream",               true },
    { "capitals",                     "Application/Octet-Stream",               true },
    { "no subtype",                   "image/",                                 false },
    { "no slash",                     "image",                                  false },
    { "text",                         "text/plain",                             false },
    { "a form",                       "application/x-www-form-urlencoded",      false },
    { "empty",                        "",                                       false },
    { "only a parameter",             ";image/png",                             false },
};
/* clang-format on */

/* Header values are not NUL-terminated. An exact allocation lets ASan detect an overrun. */
static char *exact_copy(const char *value)
{
    size_t len = strlen(value);
    char *copy = malloc(len + !len);

    assert_non_null(copy);
    memcpy(copy, value, len);
    return copy;
}

static void test_content_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        char *value = exact_copy(types[i].value);

        print_message("  %s\n", types[i].name);
        assert_int_equal(media_is_json(value, strlen(types[i].value)), types[i].is_json);
        free(value);
    }
}

static void test_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(images); i++) {
        char *value = exact_copy(images[i].value);

        print_message("  %s\n", images[i].name);
        assert_int_equal(media_is_image(value, strlen(images[i].value)), images[i].is_image);
        free(value);
    }
    assert_false(media_is_image(NULL, 0));
}

static void test_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(accepts); i++) {
        char *accept = exact_copy(accepts[i].accept);
        size_t len = strlen(accepts[i].accept);

        print_message("  %s\n", accepts[i].name);
        assert_int_equal(media_is_accepted(accept, len, "text", "event-stream"), accepts[i].accepted);
        free(accept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
