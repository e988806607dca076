/* api/openai - OpenAI's Images API, below OPENAI_BASE: the handlers, one file each
 *
 * A door to the same tasks, keys and limits as the native API. Their argument is the struct api_context.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ENDPOINTS_H
#define ARKRELAY_GATEWAY_API_OPENAI_ENDPOINTS_H

#include "common/http/server.h"

http_handler_fn api_openai_generations; /* POST /images/generations */
http_handler_fn api_openai_edits;       /* POST /images/edits; takes the body while it arrives */
http_handler_fn api_openai_models;      /* GET /models */
http_handler_fn api_openai_model;       /* GET /models/{id} */

#endif
