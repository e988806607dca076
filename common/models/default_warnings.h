/* default_warnings - tells the operator which defaults of requests the catalogue does not have
 *
 * Threads: any.
 */
#ifndef ARKRELAY_MODELS_DEFAULT_WARNINGS_H
#define ARKRELAY_MODELS_DEFAULT_WARNINGS_H

struct catalogue_file;
struct request_defaults;

/* For the start and for reloads. Logs under this component. */
void default_warnings_log(const struct request_defaults *defaults, struct catalogue_file *file, const char *component);

#endif
