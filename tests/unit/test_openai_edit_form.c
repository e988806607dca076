/* The fields of a form as JSON: types, what cannot be read, and how much is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/api/openai/edit_form.h"

static enum edit_part begin(struct edit_form *form, const char *name, bool is_file)
{
    struct http_multipart_part part = {.is_file = is_file};

    (void)strncat(part.name, name, sizeof(part.name) - 1);
    return edit_form_begin_part(form, &part);
}

static void add(struct edit_form *form, const char *name, const char *text, size_t len)
{
    assert_int_equal(begin(form, name, false), EDIT_TEXT);
    for (size_t at = 0; at < len; at += 7)
        edit_form_add_text(form, text + at, len - at < 7 ? len - at : 7);
    edit_form_end_text(form);
}

static void add_file(struct edit_form *form, const char *name, enum edit_part want)
{
    assert_int_equal(begin(form, name, true), want);
}

static const struct {
    const char *name, *text, *json;
} cases[] = {
    {"prompt",         "a \"b\"",              "{\"image\": [\"u\"], \"prompt\": \"a \\\"b\\\"\"}"    },
    {"prompt",         "7",                    "{\"image\": [\"u\"], \"prompt\": \"7\"}"              },
    {"n",              "2",                    "{\"image\": [\"u\"], \"n\": 2}"                       },
    {"n",              "2x",                   "{\"image\": [\"u\"], \"n\": \"2x\"}"                  },
    {"n",              "",                     "{\"image\": [\"u\"], \"n\": \"\"}"                    },
    {"seed",           "-1",                   "{\"image\": [\"u\"], \"seed\": -1}"                   },
    {"n",              "99999999999999999999", "{\"image\": [\"u\"], \"n\": \"99999999999999999999\"}"},
    {"guidance_scale", "2.5",                  "{\"guidance_scale\": 2.5, \"image\": [\"u\"]}"        },
    {"guidance_scale", "inf",                  "{\"guidance_scale\": \"inf\", \"image\": [\"u\"]}"    },
    {"stream",         "True",                 "{\"image\": [\"u\"], \"stream\": true}"               },
    {"stream",         "1",                    "{\"image\": [\"u\"], \"stream\": \"1\"}"              },
    {"image[]",        "v",                    "{\"image\": [\"v\", \"u\"]}"                          },
    {"n",              "null",                 "{\"image\": [\"u\"], \"n\": null}"                    },
    {"size",           "null",                 "{\"image\": [\"u\"], \"size\": null}"                 },
    {"prompt",         "null",                 "{\"image\": [\"u\"], \"prompt\": \"null\"}"           },
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct validate_errors errors;
        struct edit_form form;
        char *json;

        validate_begin(&errors);
        edit_form_init(&form, &errors);
        add(&form, cases[i].name, cases[i].text, strlen(cases[i].text));
        add_file(&form, "image", EDIT_IMAGE);
        edit_form_set_image(&form, 0, "u");
        json = json_dumps(edit_form_finish(&form), JSON_SORT_KEYS);
        assert_string_equal(json, cases[i].json);
        assert_int_equal(errors.count, 0);
        free(json);
        edit_form_deinit(&form);
    }
}

static void test_the_order_of_files_and_links_is_kept(void **state)
{
    struct validate_errors errors;
    struct edit_form form;
    char *json;

    (void)state;
    validate_begin(&errors);
    edit_form_init(&form, &errors);
    add_file(&form, "image", EDIT_IMAGE);
    add(&form, "image[]", "link", 4);
    add_file(&form, "image[]", EDIT_IMAGE);
    edit_form_set_image(&form, 1, "second");
    edit_form_set_image(&form, 0, "first");
    json = json_dumps(edit_form_finish(&form), JSON_COMPACT);
    assert_string_equal(json, "{\"image\":[\"first\",\"link\",\"second\"]}");
    free(json);
    edit_form_deinit(&form);
}

static void test_files(void **state)
{
    struct validate_errors errors;
    struct edit_form form;

    (void)state;
    validate_begin(&errors);
    edit_form_init(&form, &errors);
    for (int i = 0; i < TASK_URLS_MAX; i++)
        add_file(&form, "image", EDIT_IMAGE);
    add_file(&form, "image", EDIT_REFUSED);
    add_file(&form, "mask", EDIT_REFUSED);
    add_file(&form, "prompt", EDIT_REFUSED);
    add_file(&form, "markup", EDIT_REFUSED);
    assert_int_equal(errors.count, 4);
    assert_string_equal(errors.fields[0].detail, "must be at most 14 images");
    assert_string_equal(errors.fields[1].detail, "is not supported: ARK has no masks");
    assert_string_equal(errors.fields[2].pointer, "/prompt");
    assert_string_equal(errors.fields[3].detail, "is not supported: ARK has no markup");
    edit_form_deinit(&form);
}

static void test_complaints(void **state)
{
    static char large[EDIT_TEXT_MAX + 1];
    struct validate_errors errors;
    struct edit_form form;

    (void)state;
    validate_begin(&errors);
    edit_form_init(&form, &errors);
    add(&form, "prompt", large, sizeof(large));
    add(&form, "size", "\xff", 1);
    add(&form, "user", "u", 1);
    add(&form, "user", "u", 1);
    add(&form, "model", "m\0n", 3);
    assert_non_null(edit_form_finish(&form));
    assert_int_equal(errors.count, 5);
    assert_string_equal(errors.fields[0].pointer, "/prompt");
    assert_string_equal(errors.fields[1].detail, "must be a text in UTF-8 without NUL characters");
    assert_string_equal(errors.fields[2].detail, "is given twice");
    assert_string_equal(errors.fields[3].detail, "must be a text in UTF-8 without NUL characters");
    assert_string_equal(errors.fields[4].pointer, "/image");
    edit_form_deinit(&form);
}

/* However many parts there are. */
static void test_all_texts_together_have_a_maximum(void **state)
{
    static char text[EDIT_TEXT_MAX];
    char name[] = "x0";
    struct validate_errors errors;
    struct edit_form form;

    (void)state;
    memset(text, 'x', sizeof(text));
    validate_begin(&errors);
    edit_form_init(&form, &errors);
    for (; name[1] <= '9'; name[1]++)
        add(&form, name, text, sizeof(text));
    assert_int_equal(json_object_size(form.root), EDIT_TEXTS_MAX / EDIT_TEXT_MAX);
    edit_form_deinit(&form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_the_order_of_files_and_links_is_kept),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_all_texts_together_have_a_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
