/* request_defaults - what a request gets for the fields that it does not have
 *
 * The option rows are the same for gateway and worker: the gateway checks what a request means by them, the worker builds ARK's request
 * by them. A program embeds the struct in its options and adds REQUEST_DEFAULT_ROWS(its struct, the member) to its table.
 *
 * A default is applied only where the model and the rest of the request allow it (plan.h).
 */
#ifndef ARKRELAY_MODELS_REQUEST_DEFAULTS_H
#define ARKRELAY_MODELS_REQUEST_DEFAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/option_table.h"

/* An int member has the values of an enum of task_spec.h: options store a choice as an int, and each list of choices is in the order of
 * its enum. */
struct request_defaults {
    char *model, *prompt, *size; /* prompt "": PLAN_DEFAULT_PROMPT */
    int64_t max_images;
    int64_t guidance_scale; /* 0: not sent */
    bool watermark, web_search, layers;
    int output_format;   /* enum task_format */
    int optimize_prompt; /* enum task_optimize */
    int background;      /* enum task_background */
};

/* clang-format off */
#define REQUEST_DEFAULT_ROWS(type, member)                                                                             \
    { "ark-model", "ARK_MODEL", OPT_STRING, offsetof(type, member.model), "doubao-seedream-4-0-250828", 1, 128,        \
      "model for tasks that do not name one", NULL },                                                                  \
    { "ark-prompt", "ARK_PROMPT", OPT_STRING, offsetof(type, member.prompt), "", 0, 16384,                             \
      "prompt for tasks without one; empty: a built-in prompt that asks for a coherent group of images", NULL },       \
    { "ark-size", "ARK_SIZE", OPT_STRING, offsetof(type, member.size), "2K", 2, 16,                                    \
      "size for tasks that do not name one, if the model has it: 1K, 2K, 4K or WIDTHxHEIGHT", NULL },                  \
    { "ark-max-images", "ARK_MAX_IMAGES", OPT_INT, offsetof(type, member.max_images), "3", 1, 15,                      \
      "images; maximum for tasks that do not set max_images", NULL },                                                  \
    { "ark-watermark", "ARK_WATERMARK", OPT_BOOL, offsetof(type, member.watermark), "false", 0, 0,                     \
      "ARK's visible watermark for tasks that do not set watermark", NULL },                                           \
    { "ark-output-format", "ARK_OUTPUT_FORMAT", OPT_CHOICE, offsetof(type, member.output_format), "auto", 0, 0,        \
      "image format for tasks that do not set output_format, if the model supports the choice", "auto|jpeg|png" },     \
    { "ark-optimize-prompt", "ARK_OPTIMIZE_PROMPT", OPT_CHOICE, offsetof(type, member.optimize_prompt), "auto", 0, 0,  \
      "mode for tasks that do not set optimize_prompt, if the model supports it", "auto|standard|fast" },              \
    { "ark-web-search", "ARK_WEB_SEARCH", OPT_BOOL, offsetof(type, member.web_search), "false", 0, 0,                  \
      "let the model search the web for tasks that do not set web_search, if it supports that", NULL },                \
    { "ark-guidance-scale", "ARK_GUIDANCE_SCALE", OPT_INT, offsetof(type, member.guidance_scale), "0", 0, 10,          \
      "guidance_scale for tasks that do not set it, if the model supports it; 0: not sent", NULL },                    \
    { "ark-background", "ARK_BACKGROUND", OPT_CHOICE, offsetof(type, member.background), "auto", 0, 0,                 \
      "background for tasks that do not set it; transparent: for tasks with one reference image, if the model "        \
      "supports it", "auto|opaque|transparent" },                                                                      \
    { "ark-layer-decomposition", "ARK_LAYER_DECOMPOSITION", OPT_BOOL, offsetof(type, member.layers), "false", 0, 0,    \
      "decompose the image into layers for tasks with one reference image that set neither layers nor max_images, "    \
      "if the model supports it", NULL }
/* clang-format on */

#endif
