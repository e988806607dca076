#include "common/base/core_dump.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/base/log.h"

void core_dump_disable(void)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        log_warn("main", "cannot disable core dumps, continuing", "errno=%d", errno);
}
