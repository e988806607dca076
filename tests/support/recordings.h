/* recordings - recorded requests of real clients: tests/data/clients and its index
 *
 *     static void check(const struct recording *recording, void *arg) { ... }
 *
 *     assert_true(recordings_each(check, NULL) > 100);
 *
 * Fails the test if the index or a file cannot be read, or if they disagree. Chunked bodies are decoded here
 * by a second, small decoder, with which the decoder under test is compared.
 */
#ifndef TESTS_SUPPORT_RECORDINGS_H
#define TESTS_SUPPORT_RECORDINGS_H

#include <stdbool.h>
#include <stddef.h>

enum { RECORDED_REQUESTS_MAX = 2, RECORDING_BYTES_MAX = 4096, RECORDING_NAME_MAX = 64 };

struct recorded_request {
    const char *bytes; /* inside the recording */
    size_t head_len, body_len;
    bool chunked;
    char decoded[RECORDING_BYTES_MAX]; /* NUL-terminated */
    char answer[8];                    /* expected from the gateway: a status, or "done" for a stream with that end */
};

struct recording {
    char name[RECORDING_NAME_MAX + 1];
    char bytes[RECORDING_BYTES_MAX];
    size_t len, count;
    struct recorded_request requests[RECORDED_REQUESTS_MAX];
};

/* Calls `fn` for each row of the index; returns the number of rows. */
size_t recordings_each(void (*fn)(const struct recording *recording, void *arg), void *arg);

#endif
