#include "gateway/request/on_disconnect.h"

#include <string.h>

bool on_disconnect_parse(const char *name, enum on_disconnect *out)
{
    static const char *const names[ON_DISCONNECT_COUNT] = {
        [ON_DISCONNECT_FINISH] = "finish",
        [ON_DISCONNECT_CANCEL_IF_QUEUED] = "cancel_if_queued",
        [ON_DISCONNECT_CANCEL] = "cancel",
    };

    for (int i = 0; i < ON_DISCONNECT_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum on_disconnect)i;
            return true;
        }
    }
    return false;
}
