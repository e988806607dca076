#include "tests/support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *read_line(struct s3_fixture *fixture)
{
    static char line[16384];

    assert_non_null(fgets(line, sizeof(line), fixture->answers));
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* `command` is closed by NULL. */
static void start(struct s3_fixture *fixture, const char *const *command)
{
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    fixture->process = fork();
    assert_true(fixture->process >= 0);
    if (fixture->process == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execvp(command[0], (char *const *)(uintptr_t)command);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fixture->commands = fdopen(in[1], "w");
    fixture->answers = fdopen(out[0], "r");
    assert_true(fixture->commands && fixture->answers);
    fixture->port = (int)strtol(read_line(fixture), NULL, 10);
    assert_in_range(fixture->port, 1, 65535);
}

void s3_fixture_start(struct s3_fixture *fixture)
{
    static const char *const command[] = {"python3", TEST_DATA "/../support/s3_server.py", NULL};

    start(fixture, command);
}

bool s3_fixture_start_s3rver(struct s3_fixture *fixture, const char *folder)
{
    static const char modules[] = TEST_DATA "/../../build/s3rver/node_modules";
    const char *const command[] = {"node", TEST_DATA "/../support/s3rver/server.js", modules, folder, NULL};

    if (access(modules, R_OK))
        return false;
    start(fixture, command);
    return true;
}

/* The server ends with its stdin. */
void s3_fixture_stop(struct s3_fixture *fixture)
{
    (void)fclose(fixture->commands);
    assert_int_equal(waitpid(fixture->process, NULL, 0), fixture->process);
    (void)fclose(fixture->answers);
}

const char *s3_fixture_tell(struct s3_fixture *fixture, const char *command)
{
    assert_true(fprintf(fixture->commands, "%s\n", command) > 0);
    assert_int_equal(fflush(fixture->commands), 0);
    return read_line(fixture);
}
