/* models_json - the content of models.json, compiled in (cmake/Embed.cmake, embed_text) */
#ifndef ARKRELAY_MODELS_MODELS_JSON_H
#define ARKRELAY_MODELS_MODELS_JSON_H

#include <stddef.h>

extern const char models_json[];
extern const size_t models_json_len;

#endif
