/* ark_document - ARK's answer as one JSON document
 *
 * Success and failure alike: {"data":[slot...],"usage":{}}, {"error":{}}, and an error without its envelope. If the document is
 * incomplete, the slots whose JSON is complete are kept, because they are paid for.
 *
 *     {"data":[{"url":"https://..."},{"url":"https://...      the connection broke here: slot 0 is kept
 *
 * Ownership: embedded in ark_answer; borrows the collector.
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_DOCUMENT_H
#define ARKRELAY_WORKER_ARK_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct ark_collect;

struct ark_document {
    struct ark_collect *collect;
    struct buf text;
    int depth; /* open brackets */
    bool in_string, in_escape;
    bool closed; /* the outermost bracket was closed: the document has ended, though the connection may still be open */
};

void ark_document_init(struct ark_document *document, size_t max_bytes, struct ark_collect *collect);
void ark_document_deinit(struct ark_document *document);

int ark_document_feed(struct ark_document *document, const char *bytes, size_t len) MUST_CHECK;

/* Collects the slots, the error and the usage. True if the document is complete and has the form of an ARK answer. Bytes after its end
 * are ignored. */
bool ark_document_end(struct ark_document *document);

#endif
