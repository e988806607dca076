#include "gateway/api/routes.h"

const struct http_route api_routes[] = {
    {HTTP_POST,   API_BASE "/generate/stream",   api_generate_stream},
    {HTTP_POST,   API_BASE "/generate",          api_generate       },
    {HTTP_GET,    API_BASE "/tasks/{id}",        api_task           },
    {HTTP_GET,    API_BASE "/tasks/{id}/stream", api_task_stream    },
    {HTTP_POST,   API_BASE "/tasks/{id}/cancel", api_cancel         },
    {HTTP_DELETE, API_BASE "/tasks/{id}",        api_erase          },
    {HTTP_GET,    API_BASE "/queue",             api_queue          },
    {HTTP_POST,   "/admin/queue/pause",          api_admin_pause    },
    {HTTP_POST,   "/admin/queue/resume",         api_admin_resume   },
    {HTTP_GET,    "/livez",                      api_livez          },
    {HTTP_GET,    "/readyz",                     api_readyz         },
};
const size_t api_route_count = sizeof(api_routes) / sizeof(api_routes[0]);
