#include "common/http/server_config.h"

void http_server_config_init(struct http_server_config *config)
{
    *config = (struct http_server_config){
        .limits = {.target_max = 4 * 1024,
                   .head_max = 8 * 1024,
                   .headers_max = HTTP_HEADERS_MAX,
                   .body_max = 256 * 1024},
        .connections_max = 20000,
        .output_max = 256 * 1024,
        .head_timeout_ms = 10 * 1000,
        .body_timeout_ms = 30 * 1000,
        .taken_body_timeout_ms = 5 * 60 * 1000,
        .idle_timeout_ms = 15 * 1000,
        .write_timeout_ms = 30 * 1000,
        .linger_timeout_ms = 2 * 1000,
        .linger_max_ms = 30 * 1000,
    };
}
