/* model_name - how the ids of models are compared
 *
 * A name is an id without ARK's brand in front, in lower case, with '-' for '.': API gateways write "4.0" for "4-0", and any case.
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_MODEL_NAME_H
#define ARKRELAY_MODELS_MODEL_NAME_H

#include <stdbool.h>

#include "common/models/model.h"

const char *model_name_of(const char *id); /* the id after its brand, unchanged */

/* True if `name`, in any spelling, begins with `prefix`, which is a name. */
bool model_name_has(const char *name, const char *prefix);

/* False: the result would be empty or too long. */
bool model_name_make(char out[MODEL_NAME_SIZE], const char *id);

#endif
