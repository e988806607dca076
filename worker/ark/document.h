/* ark_document - ARK's answer as one JSON document
 *
 * Success and failure alike: {"data":[slot...],"usage":{}}, {"error":{}}, and an error without its envelope. Of a
 * document that was cut, the slots whose JSON is whole are kept: they are paid for.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_DOCUMENT_H
#define ARKRELAY_WORKER_ARK_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

struct ark_collect;

/* True when the document is whole and says what ARK's answers say. Bytes after its end are passed over. */
bool ark_document_read(struct ark_collect *collect, const char *text, size_t len);

#endif
