#include "simulator/models.h"

#include "common/base/macros.h"

#include <stdio.h>
#include <string.h>

#define BIT(n) (1u << (n))
static const struct sim_model models[] = {
    {.id = "doubao-seedream-4-0-250828",
     .name = "doubao-seedream-4-0",
     .group = true,
     .stream = true,
     .optimize_prompt = true,
     .fast = true,
     .refs_max = 14,
     .keywords = BIT(SIM_1K) | BIT(SIM_2K) | BIT(SIM_4K),
     .pixels_min = 921600,
     .pixels_max = 16777216,
     .default_size = "2048x2048",
     .micros = 30000},
    {.id = "doubao-seedream-4-5-251128",
     .name = "doubao-seedream-4-5",
     .group = true,
     .stream = true,
     .optimize_prompt = true,
     .refs_max = 14,
     .keywords = BIT(SIM_2K) | BIT(SIM_4K),
     .pixels_min = 3686400,
     .pixels_max = 16777216,
     .default_size = "2048x2048",
     .micros = 40000},
    {.id = "doubao-seedream-5-0-260128",
     .name = "doubao-seedream-5-0",
     .group = true,
     .stream = true,
     .output_format = true,
     .optimize_prompt = true,
     .web_search = true,
     .refs_max = 14,
     .keywords = BIT(SIM_2K) | BIT(SIM_3K) | BIT(SIM_4K),
     .pixels_min = 3686400,
     .pixels_max = 16777216,
     .default_size = "2048x2048",
     .micros = 35000},
    {.id = "doubao-seedream-5-0-lite-260128",
     .name = "doubao-seedream-5-0-lite",
     .group = true,
     .stream = true,
     .output_format = true,
     .optimize_prompt = true,
     .web_search = true,
     .refs_max = 14,
     .keywords = BIT(SIM_2K) | BIT(SIM_3K) | BIT(SIM_4K),
     .pixels_min = 3686400,
     .pixels_max = 16777216,
     .default_size = "2048x2048",
     .micros = 35000},
    {.id = "doubao-seedream-5-0-pro-260628",
     .name = "doubao-seedream-5-0-pro",
     .output_format = true,
     .optimize_prompt = true,
     .fast = true,
     .background = true,
     .layers_max = 17,
     .refs_max = 10,
     .keywords = BIT(SIM_1K) | BIT(SIM_1_5K) | BIT(SIM_2K),
     .pixels_min = 921600,
     .pixels_max = 4624220,
     .default_size = "2K",
     .micros = 90000,
     .small_micros = 45000,
     .small_pixels = 2610000,
     .reference_micros = 3000,
     .references_free = 1},
    {.id = "doubao-seedream-5-0-flash-260915",
     .name = "doubao-seedream-5-0-flash",
     .output_format = true,
     .optimize_prompt = true,
     .background = true,
     .layers_max = 17,
     .refs_max = 10,
     .keywords = BIT(SIM_1K) | BIT(SIM_1_5K) | BIT(SIM_2K),
     .pixels_min = 921600,
     .pixels_max = 4624220,
     .default_size = "2K",
     .micros = 18000},
    {.id = "doubao-seedream-5-5-261028",
     .name = "doubao-seedream-5-5",
     .output_format = true,
     .optimize_prompt = true,
     .background = true,
     .layers_max = 100,
     .refs_max = 10,
     .keywords = BIT(SIM_1K) | BIT(SIM_1_5K) | BIT(SIM_2K),
     .pixels_min = 921600,
     .pixels_max = 4624220,
     .default_size = "2K",
     .micros = 35000,
     .small_micros = 20000,
     .small_pixels = 2601124,
     .reference_micros = 8000},
    {.id = "doubao-seedream-3-0-t2i-250415",
     .name = "doubao-seedream-3-0-t2i",
     .guidance_scale = true,
     .pixels_min = 262144,
     .pixels_max = 4194304,
     .default_size = "1024x1024"                  },
};

static const char *const keyword_names[SIM_KEYWORD_COUNT] = {"1K", "1.5K", "2K", "3K", "4K"};

struct dimensions {
    short width, height;
};

/* The first row is for prompts that name no ratio. */
static const struct {
    const char *ratio;
    struct dimensions at[SIM_KEYWORD_COUNT];
} shapes[] = {
    {"1:1",  {{1024, 1024}, {1536, 1536}, {2048, 2048}, {3072, 3072}, {4096, 4096}}},
    {"21:9", {{1512, 648}, {2352, 1008}, {3136, 1344}, {4704, 2016}, {6240, 2656}} },
    {"16:9", {{1280, 720}, {2048, 1152}, {2848, 1600}, {4096, 2304}, {5504, 3040}} },
    {"9:16", {{720, 1280}, {1152, 2048}, {1600, 2848}, {2304, 4096}, {3040, 5504}} },
    {"4:3",  {{1152, 864}, {1728, 1296}, {2304, 1728}, {3456, 2592}, {4704, 3520}} },
    {"3:4",  {{864, 1152}, {1296, 1728}, {1728, 2304}, {2592, 3456}, {3520, 4704}} },
    {"3:2",  {{1248, 832}, {1872, 1248}, {2496, 1664}, {3744, 2496}, {4992, 3328}} },
    {"2:3",  {{832, 1248}, {1248, 1872}, {1664, 2496}, {2496, 3744}, {3328, 4992}} },
};

int64_t sim_model_image_price(const struct sim_model *model, int width, int height)
{
    return (int64_t)width * height <= model->small_pixels ? model->small_micros : model->micros;
}

int64_t sim_model_references_price(const struct sim_model *model, size_t references)
{
    return references > model->references_free
               ? (int64_t)(references - model->references_free) * model->reference_micros
               : 0;
}

const struct sim_model *sim_model_at(size_t index)
{
    return index < ARRAY_LENGTH(models) ? &models[index] : NULL;
}

const struct sim_model *sim_model_find(const char *id)
{
    if (!strncmp(id, "ep-", 3) && id[3])
        return &models[0];
    for (size_t i = 0; i < ARRAY_LENGTH(models); i++)
        if (!strcmp(models[i].id, id))
            return &models[i];
    return NULL;
}

static struct dimensions shape_of(const char *prompt, size_t keyword)
{
    for (size_t i = 1; i < ARRAY_LENGTH(shapes); i++)
        if (strstr(prompt, shapes[i].ratio))
            return shapes[i].at[keyword];
    return shapes[0].at[keyword];
}

/* Parses "2048x1024": digits only, no trailing characters. */
static bool read_pixels(const char *size, int *width, int *height)
{
    int len = 0;

    /* NOLINTNEXTLINE(cert-err34-c): five digits fit an int, and the text has only digits */
    return strspn(size, "0123456789x") == strlen(size) && sscanf(size, "%5dx%5d%n", width, height, &len) == 2 &&
           !size[len] && *width > 0 && *height > 0;
}

static enum sim_size check_pixels(const struct sim_model *model, int64_t width, int64_t height)
{
    if (width * height < model->pixels_min)
        return SIM_SIZE_TOO_SMALL;
    if (width * height > model->pixels_max)
        return SIM_SIZE_TOO_LARGE;
    return width > 16 * height || height > 16 * width ? SIM_SIZE_TOO_NARROW : SIM_SIZE_OK;
}

enum sim_size sim_model_size(const struct sim_model *model, const char *size, const char *prompt, int *width,
                             int *height)
{
    for (size_t i = 0; i < SIM_KEYWORD_COUNT; i++) {
        struct dimensions shape;

        if (strcmp(keyword_names[i], size))
            continue;
        if (!(model->keywords & BIT(i)))
            return SIM_SIZE_UNKNOWN;
        shape = shape_of(prompt, i);
        *width = shape.width;
        *height = shape.height;
        return SIM_SIZE_OK;
    }
    return read_pixels(size, width, height) ? check_pixels(model, *width, *height) : SIM_SIZE_UNKNOWN;
}
