#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "simulator/validate.h"

#define V40   "\"model\":\"doubao-seedream-4-0-250828\""
#define V45   "\"model\":\"doubao-seedream-4-5-251128\""
#define LITE  "\"model\":\"doubao-seedream-5-0-260128\""
#define PRO   "\"model\":\"doubao-seedream-5-0-pro-260628\""
#define FLASH "\"model\":\"doubao-seedream-5-0-flash-260915\""
#define T2I   "\"model\":\"doubao-seedream-3-0-t2i-250415\""
#define P     ",\"prompt\":\"x\""
#define GROUP ",\"sequential_image_generation\":\"auto\",\"sequential_image_generation_options\":"

static const struct {
    const char *name, *body;
    const char *code, *param; /* NULL: the body is good */
    const char *message;      /* part of it */
} cases[] = {
    {"a minimal request passes",                      "{" V40 P "}",                                                                            NULL,                              NULL,                                  NULL                                             },
    {"an endpoint id passes",                         "{\"model\":\"ep-20250101000000-abcde\"" P "}",                                           NULL,                              NULL,                                  NULL                                             },
    {"nulls are absent fields",
     "{" PRO P ",\"seed\":null,\"image\":null,\"size\":null,\"stream\":null,\"tools\":null,\"watermark\":null,"
     "\"sequential_image_generation\":null,\"sequential_image_generation_options\":null,\"output_format\":null,"
     "\"guidance_scale\":null,\"optimize_prompt_options\":null,\"response_format\":null}",                                                      NULL,                              NULL,                                  NULL                                             },
    {"unknown fields are passed over",                "{" V40 P ",\"n\":4,\"quality\":\"hd\",\"negative_prompt\":\"y\"}",                       NULL,                              NULL,
     NULL                                                                                                                                                                                                                                                                  },
    {"every field of 4.0 passes",
     "{" V40 P ",\"image\":[\"https://e.com/a\",\"data:image/png;base64,iVBORw==\"],\"size\":\"4K\",\"seed\":-1" GROUP
     "{\"max_images\":4},\"stream\":true,\"response_format\":\"b64_json\",\"watermark\":false,"
     "\"optimize_prompt_options\":{\"mode\":\"fast\"}}",                                                                                        NULL,                              NULL,                                  NULL                                             },
    {"lite takes web search and png",                 "{" LITE P ",\"tools\":[{\"type\":\"web_search\"}],\"output_format\":\"png\"}",
     NULL,                                                                                                                                                                         NULL,                                  NULL                                             },
    {"stream:false passes where streams do not",      "{" PRO P ",\"stream\":false}",                                                           NULL,                              NULL,                                  NULL                                             },

    {"no JSON",                                       "{\"model\":",                                                                            "InvalidParameter",                "",                                    "JSON"                                           },
    {"no object",                                     "[]",                                                                                     "InvalidParameter",                "",                                    "JSON"                                           },
    {"no body",                                       "",                                                                                       "InvalidParameter",                "",                                    "JSON"                                           },
    {"no model",                                      "{\"prompt\":\"x\"}",                                                                     "MissingParameter",                "model",                               "model"                                          },
    {"a model that is no text",                       "{\"model\":4" P "}",                                                                     "InvalidParameter",                "model",                               "string"                                         },
    {"an unknown model",                              "{\"model\":\"gpt\"" P "}",                                                               "InvalidEndpointOrModel.NotFound", "",
     "The model or endpoint gpt does not exist or you do not have access to it."                                                                                                                                                                                           },
    {"no prompt",                                     "{" V40 "}",                                                                              "MissingParameter",                "prompt",                              "prompt"                                         },
    {"an empty prompt",                               "{" V40 ",\"prompt\":\"\"}",                                                              "MissingParameter",                "prompt",                              "prompt"                                         },
    {"a prompt that is no text",                      "{" V40 ",\"prompt\":{}}",                                                                "InvalidParameter",                "prompt",                              "string"                                         },

    {"an empty reference",                            "{" V40 P ",\"image\":\"\"}",                                                             "InvalidImageURL.EmptyURL",        "image",                               "Empty base64 image url"                         },
    {"a data URL without data",                       "{" V40 P ",\"image\":\"data:image/png;base64,\"}",                                       "InvalidImageURL.EmptyURL",        "image",
     ""                                                                                                                                                                                                                                                                    },
    {"a data URL with an upper-case type",            "{" V40 P ",\"image\":\"data:image/PNG;base64,iVBORw==\"}",
     "InvalidImageURL.InvalidFormat",                                                                                                                                              "image",                               "Invalid base64 image url"                       },
    {"a data URL that is not base64",                 "{" V40 P ",\"image\":[\"data:image/png;base64,%%%%\"]}",
     "InvalidImageURL.InvalidFormat",                                                                                                                                              "image",                               ""                                               },
    {"base64 of a wrong length",                      "{" V40 P ",\"image\":[\"data:image/png;base64,abc\"]}",
     "InvalidImageURL.InvalidFormat",                                                                                                                                              "image",                               ""                                               },
    {"another scheme",                                "{" V40 P ",\"image\":\"ftp://e.com/a\"}",                                                "InvalidParameter",                "image",                               "http"                                           },
    {"a reference that is no text",                   "{" V40 P ",\"image\":[1]}",                                                              "InvalidParameter",                "image",                               "string"                                         },
    {"15 references",
     "{" V40 P ",\"image\":[\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\","
     "\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\"]}",                               "InvalidParameter",                "image",                               "number of reference images cannot exceed 14"    },
    {"11 references where 10 are the maximum",
     "{" PRO P ",\"image\":[\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\",\"http://a\","
     "\"http://a\",\"http://a\",\"http://a\",\"http://a\"]}",                                                                                   "InvalidParameter",                "image",                               "number of reference images cannot exceed 10"    },
    {"a reference for a model that takes none",       "{" T2I P ",\"image\":\"http://a\"}",                                                     "InvalidParameter",                "image",
     "not supported by the current model"                                                                                                                                                                                                                                  },

    {"a size below the minimum",                      "{" V45 P ",\"size\":\"1x1\"}",                                                           "InvalidParameter",                "size",
     "image size must be at least 3686400 pixels"                                                                                                                                                                                                                          },
    {"4.0's own minimum",                             "{" V40 P ",\"size\":\"960x959\"}",                                                       "InvalidParameter",                "size",
     "image size must be at least 921600 pixels"                                                                                                                                                                                                                           },
    {"a size above the maximum",                      "{" V40 P ",\"size\":\"4097x4096\"}",                                                     "InvalidParameter",                "size",
     "image size must be at most 16777216 pixels"                                                                                                                                                                                                                          },
    {"a size that is too narrow",                     "{" V40 P ",\"size\":\"8192x500\"}",                                                      "InvalidParameter",                "size",                                "aspect ratio"                                   },
    {"a keyword of another model",                    "{" V45 P ",\"size\":\"1K\"}",                                                            "InvalidParameter",                "size",                                "keyword"                                        },
    {"a keyword in lower case",                       "{" V40 P ",\"size\":\"2k\"}",                                                            "InvalidParameter",                "size",                                "keyword"                                        },
    {"an upper-case X",                               "{" V40 P ",\"size\":\"2048X2048\"}",                                                     "InvalidParameter",                "size",                                "WxH"                                            },
    {"signs in a size",                               "{" V40 P ",\"size\":\"+2048x2048\"}",                                                    "InvalidParameter",                "size",                                "WxH"                                            },
    {"text after a size",                             "{" V40 P ",\"size\":\"2048x2048x1\"}",                                                   "InvalidParameter",                "size",                                "WxH"                                            },
    {"keywords where only pixels are taken",          "{" T2I P ",\"size\":\"2K\"}",                                                            "InvalidParameter",                "size",                                "WxH"                                            },

    {"a group where there are none",                  "{" PRO P ",\"sequential_image_generation\":\"disabled\"}",                               "InvalidParameter",
     "sequential_image_generation",                                                                                                                                                                                       "not supported by the current model"             },
    {"group options where there are no groups",       "{" FLASH P ",\"sequential_image_generation_options\":{}}",
     "InvalidParameter",                                                                                                                                                           "sequential_image_generation_options", "not supported by the current model"             },
    {"another way to make groups",                    "{" V40 P ",\"sequential_image_generation\":\"on\"}",                                     "InvalidParameter",
     "sequential_image_generation",                                                                                                                                                                                       "must be one of"                                 },
    {"16 images",                                     "{" V40 P GROUP "{\"max_images\":16}}",                                                   "InvalidParameter",
     "sequential_image_generation_options.max_images",                                                                                                                                                                    "1 to 15"                                        },
    {"no image",                                      "{" V40 P GROUP "{\"max_images\":0}}",                                                    "InvalidParameter",
     "sequential_image_generation_options.max_images",                                                                                                                                                                    "1 to 15"                                        },
    {"half an image",                                 "{" V40 P GROUP "{\"max_images\":1.5}}",                                                  "InvalidParameter",
     "sequential_image_generation_options.max_images",                                                                                                                                                                    "1 to 15"                                        },
    {"group options that are no object",              "{" V40 P GROUP "4}",                                                                     "InvalidParameter",
     "sequential_image_generation_options",                                                                                                                                                                               "object"                                         },

    {"a stream where there are none",                 "{" PRO P ",\"stream\":true}",                                                            "InvalidParameter",                "stream",
     "not supported by the current model"                                                                                                                                                                                                                                  },
    {"a stream flag that is no boolean",              "{" V40 P ",\"stream\":1}",                                                               "InvalidParameter",                "stream",                              "boolean"                                        },
    {"another response format",                       "{" V40 P ",\"response_format\":\"b64\"}",                                                "InvalidParameter",                "response_format",
     "url"                                                                                                                                                                                                                                                                 },
    {"webp",                                          "{" LITE P ",\"output_format\":\"webp\"}",                                                "InvalidParameter",                "output_format",
     "must be one of: jpeg, png"                                                                                                                                                                                                                                           },
    {"an output format where there is no choice",     "{" V45 P ",\"output_format\":\"jpeg\"}",                                                 "InvalidParameter",
     "output_format",                                                                                                                                                                                                     "not supported by the current model"             },
    {"a watermark that is no boolean",                "{" V40 P ",\"watermark\":\"no\"}",                                                       "InvalidParameter",                "watermark",                           "boolean"                                        },
    {"fast where only standard is",                   "{" LITE P ",\"optimize_prompt_options\":{\"mode\":\"fast\"}}",                           "InvalidParameter",
     "optimize_prompt_options.mode",                                                                                                                                                                                      "optimize_prompt_options.mode must be 'standard'"},
    {"another mode",                                  "{" V40 P ",\"optimize_prompt_options\":{\"mode\":\"best\"}}",                            "InvalidParameter",
     "optimize_prompt_options.mode",                                                                                                                                                                                      "standard, fast"                                 },
    {"web search where there is none",                "{" PRO P ",\"tools\":[]}",                                                               "InvalidParameter",                "tools",
     "not supported by the current model"                                                                                                                                                                                                                                  },
    {"another tool",                                  "{" LITE P ",\"tools\":[{\"type\":\"shell\"}]}",                                          "InvalidParameter",                "tools",                               "web_search"                                     },
    {"guidance for a model without",                  "{" V40 P ",\"guidance_scale\":5}",                                                       "InvalidParameter",                "guidance_scale",
     "not supported by the current model"                                                                                                                                                                                                                                  },
    {"too much guidance",                             "{" T2I P ",\"guidance_scale\":10.5}",                                                    "InvalidParameter",                "guidance_scale",                      "range"                                          },
    {"a seed beyond 31 bits",                         "{" V40 P ",\"seed\":2147483648}",                                                        "InvalidParameter",                "seed",                                "range"                                          },
    {"layers where there are none",                   "{" V40 P ",\"layer_decomposition\":true}",                                               "InvalidParameter",
     "layer_decomposition",                                                                                                                                                                                               "not supported"                                  },
    {"layers of one reference",                       "{" PRO P ",\"image\":\"http://a\",\"layer_decomposition\":true}",                        NULL,                              NULL,                                  NULL                                             },
    {"layers without a prompt, in an automatic size",
     "{" PRO ",\"image\":[\"http://a\"],\"size\":\"auto\",\"layer_decomposition\":true}",                                                       NULL,                              NULL,                                  NULL                                             },
    {"layers of nothing",                             "{" PRO P ",\"layer_decomposition\":true}",                                               "InvalidParameter",                "layer_decomposition",                 "one"                                            },
    {"layers of two",                                 "{" PRO P ",\"image\":[\"http://a\",\"http://b\"],\"layer_decomposition\":true}",
     "InvalidParameter",                                                                                                                                                           "layer_decomposition",                 "one"                                            },
    {"layers of a gif",                               "{" PRO P ",\"image\":\"data:image/gif;base64,AAAA\",\"layer_decomposition\":true}",
     "InvalidParameter",                                                                                                                                                           "layer_decomposition",                 "png"                                            },
    {"layers in pixels",                              "{" PRO P ",\"image\":\"http://a\",\"size\":\"1024x1024\",\"layer_decomposition\":true}",
     "InvalidParameter",                                                                                                                                                           "size",                                "keyword"                                        },
    {"an automatic size without layers",              "{" PRO P ",\"size\":\"auto\"}",                                                          "InvalidParameter",                "size",                                "keyword"                                        },
    {"no prompt and no layers",                       "{" PRO ",\"image\":\"http://a\",\"layer_decomposition\":false}",                         "MissingParameter",
     "prompt",                                                                                                                                                                                                            "prompt"                                         },
    {"a transparent background",
     "{" PRO P ",\"image\":\"http://a\",\"output_format\":\"png\",\"background\":\"transparent\"}",                                             NULL,                              NULL,                                  NULL                                             },
    {"a transparent background of nothing",           "{" PRO P ",\"output_format\":\"png\",\"background\":\"transparent\"}",
     "InvalidParameter",                                                                                                                                                           "background",                          "one"                                            },
    {"a transparent background of a jpeg",
     "{" PRO P ",\"image\":\"data:image/jpeg;base64,AAAA\",\"output_format\":\"png\",\"background\":\"transparent\"}",
     "InvalidParameter",                                                                                                                                                           "background",                          "png"                                            },
    {"a transparent background as jpeg",              "{" PRO P ",\"image\":\"http://a\",\"background\":\"transparent\"}",
     "InvalidParameter",                                                                                                                                                           "background",                          "png"                                            },
    {"a background where there is no choice",         "{" V40 P ",\"background\":\"opaque\"}",                                                  "InvalidParameter",                "background",
     "not supported"                                                                                                                                                                                                                                                       },
};

static int read_body(const char *body, struct sim_request *request, struct sim_error *error)
{
    *request = (struct sim_request){0};
    return sim_request_read(request, body, strlen(body), error);
}

static void check(size_t i)
{
    struct sim_request request;
    struct sim_error error;
    int err = read_body(cases[i].body, &request, &error);

    sim_request_deinit(&request);
    if (!cases[i].code) {
        if (err)
            fail_msg("%s: refused, %s", cases[i].name, error.message);
        return;
    }
    if (err != ERR_REFUSED)
        fail_msg("%s: is accepted", cases[i].name);
    if (strcmp(error.code, cases[i].code) || strcmp(error.param, cases[i].param) ||
        !strstr(error.message, cases[i].message))
        fail_msg("%s: code=%s param=%s message=%s", cases[i].name, error.code, error.param, error.message);
    assert_int_equal(error.status, !strncmp(cases[i].code, "InvalidEndpoint", 15) ? 404 : 400);
}

static void test_bodies_get_the_errors_of_ark(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        check(i);
}

static const struct {
    const char *name, *body;
    int images;
} groups[] = {
    {"one image without a group",            "{" V40 P ",\"sequential_image_generation_options\":{\"max_images\":4}}", 1 },
    {"disabled is one image",                "{" V40 P ",\"sequential_image_generation\":\"disabled\"}",               1 },
    {"15 images by default",                 "{" V40 P ",\"sequential_image_generation\":\"auto\"}",                   15},
    {"as many as asked",                     "{" V40 P GROUP "{\"max_images\":4}}",                                    4 },
    {"one reference leaves room for 14",     "{" V40 P ",\"image\":\"http://a\"" GROUP "{}}",                          14},
    {"max_images above the room is reduced",
     "{" V40 P ",\"image\":[\"http://a\",\"http://b\"]" GROUP "{\"max_images\":15}}",                                  13},
};

static void test_a_request_has_its_number_of_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(groups); i++) {
        struct sim_request request;
        struct sim_error error;

        if (read_body(groups[i].body, &request, &error) || request.images != groups[i].images)
            fail_msg("%s: %d", groups[i].name, request.images);
        sim_request_deinit(&request);
    }
}

static const struct {
    const char *name, *body;
    int width, height;
} sizes[] = {
    {"the default is square",      "{" V40 P "}",                                         2048, 2048},
    {"a keyword is square",        "{" V40 P ",\"size\":\"1K\"}",                         1024, 1024},
    {"the prompt names the ratio", "{" V40 ",\"prompt\":\"wide, 16:9\",\"size\":\"4K\"}", 5504, 3040},
    {"pixels are echoed",          "{" V45 P ",\"size\":\"6240x2656\"}",                  6240, 2656},
    {"the minimum is included",    "{" V45 P ",\"size\":\"2560x1440\"}",                  2560, 1440},
    {"1.5K",                       "{" PRO P ",\"size\":\"1.5K\"}",                       1536, 1536},
    {"3K",                         "{" LITE ",\"prompt\":\"2:3\",\"size\":\"3K\"}",       2496, 3744},
    {"3.0 has its own range",      "{" T2I P ",\"size\":\"512x512\"}",                    512,  512 },
};

static void test_the_image_size_follows_from_the_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct sim_request request;
        struct sim_error error;

        if (read_body(sizes[i].body, &request, &error))
            fail_msg("%s: %s", sizes[i].name, error.message);
        if (request.width != sizes[i].width || request.height != sizes[i].height)
            fail_msg("%s: %dx%d", sizes[i].name, request.width, request.height);
        sim_request_deinit(&request);
    }
}

static void test_all_fields_of_a_body_are_read(void **state)
{
    static const char body[] =
        "{" LITE ",\"prompt\":\"a\\u4e00\",\"image\":[\"http://a\",\"HTTPS://b\"],\"stream\":true,"
        "\"response_format\":\"b64_json\",\"output_format\":\"png\",\"watermark\":false,"
        "\"tools\":[{\"type\":\"web_search\"}]}";
    struct sim_request request;
    struct sim_error error;

    (void)state;
    assert_int_equal(read_body(body, &request, &error), 0);
    assert_string_equal(request.model->id, "doubao-seedream-5-0-260128");
    assert_string_equal(request.asked_model, "doubao-seedream-5-0-260128");
    assert_string_equal(request.prompt, "a\xe4\xb8\x80");
    assert_string_equal(request.size, "2048x2048");
    assert_int_equal(request.ref_count, 2);
    assert_string_equal(request.refs[1], "HTTPS://b");
    assert_true(request.stream && request.b64 && request.png && request.web_search && !request.group);
    assert_int_equal(request.watermark, 0);
    sim_request_deinit(&request);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_get_the_errors_of_ark),
        cmocka_unit_test(test_a_request_has_its_number_of_images),
        cmocka_unit_test(test_the_image_size_follows_from_the_request),
        cmocka_unit_test(test_all_fields_of_a_body_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
