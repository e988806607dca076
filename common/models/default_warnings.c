#include "common/models/default_warnings.h"

#include "common/base/log.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_file.h"
#include "common/models/plan.h"

enum { QUOTED_SIZE = 512 };

void default_warnings_log(const struct request_defaults *defaults, struct catalogue_file *file, const char *component)
{
    struct catalogue *catalogue = catalogue_file_take(file);
    const struct model *row = catalogue_find(catalogue, defaults->model);
    char model[QUOTED_SIZE], size[QUOTED_SIZE];

    (void)log_quote(model, sizeof(model), defaults->model);
    if (!row->listed)
        log_warn(component, "ARK_MODEL is not a listed model, only the plainest fields are sent", "model=%s", model);
    if (!plan_has_size(row, defaults->size))
        log_warn(component, "ARK_SIZE is not a size of ARK_MODEL, continuing with ARK's default size",
                 "model=%s size=%s", model, log_quote(size, sizeof(size), defaults->size));
    catalogue_unref(catalogue);
}
