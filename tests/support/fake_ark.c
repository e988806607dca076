#include "tests/support/fake_ark.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 * 1024, BACKLOG = 64 };

struct fake_ark {
    int port;
    int posts;  /* requests so far */
    int report; /* pipe: one byte per request */
    pid_t pid;
};

static void give_up(const char *what)
{
    perror(what);
    abort();
}

static int listen_somewhere(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        give_up("fake_ark: no socket");
    *port = ntohs(address.sin_port);
    return fd;
}

/* True if the request is complete by its Content-Length. */
static int is_whole(const char *request, size_t len)
{
    static const char name[] = "Content-Length: ";
    const char *end = memmem(request, len, "\r\n\r\n", 4), *length = memmem(request, len, name, sizeof(name) - 1);

    return end && length && len >= (size_t)(end + 4 - request) + strtoul(length + sizeof(name) - 1, NULL, 10);
}

static int read_request(int fd)
{
    char request[REQUEST_MAX + 1] = "";
    size_t len = 0;

    while (!is_whole(request, len)) {
        ssize_t n = read(fd, request + len, REQUEST_MAX - len);

        if (n <= 0)
            return 0;
        len += (size_t)n;
        request[len] = '\0';
    }
    return 1;
}

static void serve(int listener, int report, const char *answer)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            _exit(1);
        if (read_request(fd)) {
            (void)!write(report, "p", 1);
            (void)!write(fd, answer, strlen(answer));
        }
        close(fd);
    }
}

struct fake_ark *fake_ark_create(const char *answer)
{
    struct fake_ark *ark = calloc(1, sizeof(*ark));
    int report[2], listener;

    if (!ark || pipe2(report, O_CLOEXEC | O_NONBLOCK))
        give_up("fake_ark");
    listener = listen_somewhere(&ark->port);
    ark->pid = fork();
    if (ark->pid < 0)
        give_up("fake_ark: no process");
    if (!ark->pid)
        serve(listener, report[1], answer);
    close(listener);
    close(report[1]);
    ark->report = report[0];
    return ark;
}

struct fake_ark *fake_ark_destroy(struct fake_ark *ark)
{
    if (!ark)
        return NULL;
    kill(ark->pid, SIGKILL);
    (void)waitpid(ark->pid, NULL, 0);
    close(ark->report);
    free(ark);
    return NULL;
}

int fake_ark_port(const struct fake_ark *ark)
{
    return ark->port;
}

int fake_ark_posts(struct fake_ark *ark)
{
    char bytes[256];
    ssize_t n;

    while ((n = read(ark->report, bytes, sizeof(bytes))) > 0)
        ark->posts += (int)n;
    return ark->posts;
}
