#include "tests/support/redis_server.h"

#include "common/base/macros.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 64, START_MS = 20000, LOG_SIZE = 65536 };

struct redis_server {
    char directory[64], path[96], port_text[8];
    int port;
    char *words[WORDS_MAX]; /* the command line */
    size_t count;
    pid_t pid;  /* 0 if it is not running */
    int output; /* its log; -1 if it is not running */
    char log[LOG_SIZE];
    size_t log_len;
};

static void give_up(const char *what, const char *more)
{
    fprintf(stderr, "redis_server: %s: %s\n%s\n", what, strerror(errno), more);
    abort();
}

/* The socket reserves the port. A server with SO_REUSEADDR, such as Redis, can still listen on it. */
int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int keeper = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (keeper < 0 || setsockopt(keeper, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) ||
        bind(keeper, (struct sockaddr *)&address, len) || getsockname(keeper, (struct sockaddr *)&address, &len))
        give_up("no free port", "");
    return ntohs(address.sin_port);
}

/* Replaces "%d" with the directory. */
static void add_word(struct redis_server *server, const char *word)
{
    const char *mark = strstr(word, "%d");
    char *text;

    if (server->count + 1 == WORDS_MAX)
        give_up("too many arguments", word);
    if (asprintf(&text, "%.*s%s%s", mark ? (int)(mark - word) : (int)strlen(word), word, mark ? server->directory : "",
                 mark ? mark + 2 : "") < 0)
        give_up("no memory", "");
    server->words[server->count++] = text;
}

static bool is_up(struct redis_server *server)
{
    server->log[server->log_len] = '\0';
    return strstr(server->log, "Ready to accept connections") != NULL;
}

static void await_start(struct redis_server *server)
{
    struct pollfd poll_fd = {.fd = server->output, .events = POLLIN};

    server->log_len = 0;
    while (!is_up(server)) {
        ssize_t len;

        if (poll(&poll_fd, 1, START_MS) <= 0)
            give_up("it does not start", server->log);
        len = read(server->output, server->log + server->log_len, LOG_SIZE - 1 - server->log_len);
        if (len <= 0)
            give_up("it ended", server->log);
        server->log_len += (size_t)len;
    }
}

static void run_server(struct redis_server *server, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(server->directory) || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    execvp(server->words[0], server->words);
    perror(server->words[0]);
    _exit(127);
}

void redis_server_start(struct redis_server *server)
{
    int ends[2];

    /* Output that does not fit is dropped: the test reads it only at the end. */
    if (pipe(ends) || fcntl(ends[1], F_SETFL, O_NONBLOCK))
        give_up("no pipe", "");
    server->pid = fork();
    if (server->pid < 0)
        give_up("no process", "");
    if (!server->pid)
        run_server(server, ends[1]);
    close(ends[1]);
    server->output = ends[0];
    await_start(server);
}

void redis_server_stop(struct redis_server *server)
{
    if (!server->pid)
        return;
    kill(server->pid, SIGKILL);
    if (waitpid(server->pid, NULL, 0) != server->pid)
        give_up("it does not end", "");
    close(server->output);
    server->pid = 0;
    server->output = -1;
}

struct redis_server *redis_server_create(const char *const *arguments)
{
    struct redis_server *server = calloc(1, sizeof(*server));

    if (!server)
        give_up("no memory", "");
    snprintf(server->directory, sizeof(server->directory), "/tmp/redis_server.XXXXXX");
    if (!mkdtemp(server->directory))
        give_up("no directory", server->directory);
    snprintf(server->path, sizeof(server->path), "%s/socket", server->directory);
    server->port = free_port();
    snprintf(server->port_text, sizeof(server->port_text), "%d", server->port);

    const char *const words[] = {"redis-server",
                                 "--port",
                                 server->port_text,
                                 "--bind",
                                 "127.0.0.1",
                                 "--unixsocket",
                                 server->path,
                                 "--save",
                                 "",
                                 "--appendonly",
                                 "no",
                                 "--daemonize",
                                 "no",
                                 "--enable-debug-command",
                                 "yes",
                                 "--protected-mode",
                                 "no"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        add_word(server, words[i]);
    for (; arguments && *arguments; arguments++)
        add_word(server, *arguments);
    redis_server_start(server);
    return server;
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
    (void)stat;
    (void)kind;
    (void)where;
    return remove(path);
}

struct redis_server *redis_server_destroy(struct redis_server *server)
{
    if (!server)
        return NULL;
    redis_server_stop(server);
    (void)nftw(server->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < server->count; i++)
        free(server->words[i]);
    free(server);
    return NULL;
}

int redis_server_port(const struct redis_server *server)
{
    return server->port;
}

const char *redis_server_path(const struct redis_server *server)
{
    return server->path;
}

const char *redis_server_directory(const struct redis_server *server)
{
    return server->directory;
}
