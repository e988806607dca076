/* s3_answer - what a server of S3's kind says: error codes and lists of objects
 *
 * Reads the few elements that matter out of XML, without a parser of XML: codes and keys of ours have no character that XML escapes. What does
 * not have our form is skipped.
 *
 * Pure.
 */
#ifndef ARKRELAY_STORAGE_S3_ANSWER_H
#define ARKRELAY_STORAGE_S3_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/storage/outcome.h"

enum { S3_CODE_SIZE = 48 };

/* Writes the <Code> of an error's body, "" if there is none: 1 to 47 letters and digits. */
void s3_error_code(char out[S3_CODE_SIZE], const char *body, size_t len);

/* What an answer means. Servers disagree about statuses, so the code decides where it is known. An error is an error with a status of 2xx too. */
enum storage_end s3_end_of(int status, const char *code);

/* Is this the answer to a PUT or DELETE that was executed? S3's has no body. A proxy or a login page may have answered instead. */
bool s3_is_done(int status, const char *body, size_t len);
bool s3_is_list(const char *body, size_t len); /* of ListObjectsV2 */

/* A key of a list: a piece of the body. */
struct s3_key {
    const char *text;
    size_t len;
};

/* Takes the next <Key> of a ListObjectsV2 answer, from *at on. False: no more. */
bool s3_next_key(const char *body, size_t len, size_t *at, struct s3_key *out);
bool s3_list_is_truncated(const char *body, size_t len);

#endif
