/* catalogue_write - from a catalogue to JSON
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_CATALOGUE_WRITE_H
#define ARKRELAY_MODELS_CATALOGUE_WRITE_H

#include "common/base/err.h"

struct catalogue;

/* Sets json and version from the rows. Call it once, before the catalogue is used. */
int catalogue_seal(struct catalogue *catalogue) MUST_CHECK;

#endif
