#include "gateway/routes.h"

#include "common/base/macros.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/openai/endpoints.h"
#include "gateway/api/openai/error.h"
#include "gateway/api/service/endpoints.h"

const struct http_route api_routes[] = {
    {HTTP_POST,   API_BASE "/generate/stream",       api_generate_stream    },
    {HTTP_POST,   API_BASE "/generate",              api_generate           },
    {HTTP_GET,    API_BASE "/tasks",                 api_own_tasks          },
    {HTTP_GET,    API_BASE "/tasks/{id}",            api_task               },
    {HTTP_GET,    API_BASE "/tasks/{id}/stream",     api_task_stream        },
    {HTTP_GET,    API_BASE "/tasks/{id}/webhook",    api_task_webhook       },
    {HTTP_POST,   API_BASE "/tasks/{id}/cancel",     api_task_cancel        },
    {HTTP_DELETE, API_BASE "/tasks/{id}",            api_task_erase         },
    {HTTP_POST,   API_BASE "/uploads",               api_upload             },
    {HTTP_DELETE, API_BASE "/uploads/{id}",          api_upload_erase       },
    {HTTP_GET,    API_BASE "/models",                api_models             },
    {HTTP_GET,    API_BASE "/usage",                 api_usage              },
    {HTTP_GET,    API_BASE "/queue",                 api_queue              },
    {HTTP_POST,   OPENAI_BASE "/images/generations", api_openai_generations },
    {HTTP_POST,   OPENAI_BASE "/images/edits",       api_openai_edits       },
    {HTTP_GET,    OPENAI_BASE "/models",             api_openai_models      },
    {HTTP_GET,    OPENAI_BASE "/models/{id}",        api_openai_model       },
    {HTTP_GET,    "/p/{path}",                       api_picture            },
    {HTTP_DELETE, "/p/{path}",                       api_picture_erase      },
    {HTTP_POST,   "/admin/queue/pause",              api_admin_pause        },
    {HTTP_POST,   "/admin/queue/resume",             api_admin_resume       },
    {HTTP_GET,    "/admin/overview",                 api_admin_overview     },
    {HTTP_GET,    "/admin/processes",                api_admin_processes    },
    {HTTP_GET,    "/admin/usage",                    api_admin_usage        },
    {HTTP_GET,    "/admin/tasks",                    api_admin_tasks        },
    {HTTP_GET,    "/admin/tasks/{id}",               api_admin_task         },
    {HTTP_DELETE, "/admin/tasks/{id}",               api_admin_erase        },
    {HTTP_POST,   "/admin/tasks/{id}/retry",         api_admin_retry        },
    {HTTP_POST,   "/admin/tasks/{id}/cancel",        api_admin_cancel       },
    {HTTP_POST,   "/admin/tasks/{id}/resend",        api_admin_resend       },
    {HTTP_GET,    "/admin/tasks/{id}/webhook",       api_admin_task_webhook },
    {HTTP_GET,    "/admin/webhooks",                 api_admin_webhooks     },
    {HTTP_POST,   "/admin/webhooks/resend",          api_admin_resend_failed},
    {HTTP_POST,   "/admin/webhooks/test",            api_admin_webhook_test },
    {HTTP_GET,    "/openapi.json",                   api_openapi            },
    {HTTP_GET,    "/",                               api_pages              },
    {HTTP_GET,    "/dashboard",                      api_pages              },
    {HTTP_GET,    "/pages/{id}",                     api_pages              },
    {HTTP_GET,    "/pages/shared/{id}",              api_pages              },
    {HTTP_GET,    "/pages/playground/{id}",          api_pages              },
    {HTTP_GET,    "/pages/dashboard/{id}",           api_pages              },
    {HTTP_GET,    "/metrics",                        api_metrics            },
    {HTTP_GET,    "/livez",                          api_livez              },
    {HTTP_GET,    "/readyz",                         api_readyz             },
};
http_handler_fn *const api_body_takers[] = {api_upload, api_openai_edits, NULL};
const size_t api_route_count = ARRAY_LENGTH(api_routes);
