/* s3_fixture - starts and controls tests/support/s3_server.py, which checks signatures with code of its own
 */
#ifndef TESTS_SUPPORT_S3_FIXTURE_H
#define TESTS_SUPPORT_S3_FIXTURE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct s3_fixture {
    pid_t process;
    FILE *commands, *answers;
    int port;
};

/* The server's keys, region and bucket. */
#define S3_TEST_ACCESS "AKIDTEST"
#define S3_TEST_SECRET "secret/with+signs"
#define S3_TEST_REGION "eu-test-1"
#define S3_TEST_BUCKET "pictures"

void s3_fixture_start(struct s3_fixture *fixture);

/* Starts s3rver instead, with its objects in `folder`. It checks no signature of a header, and takes no commands. False if it is not
 * installed (scripts/install_deps.sh s3rver). */
bool s3_fixture_start_s3rver(struct s3_fixture *fixture, const char *folder);
void s3_fixture_stop(struct s3_fixture *fixture);

/* Sends a command and returns the answer, without its line end; valid until the next one. */
const char *s3_fixture_tell(struct s3_fixture *fixture, const char *command);

#endif
