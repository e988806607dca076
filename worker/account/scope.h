/* scope - the ARK account, or one of its models, as this worker knows it
 *
 * Has what the worker has not reported about the scope yet, and the state that Redis reported last. The name of the account's scope is "".
 *
 * Ownership: the governor owns all scopes. scopes_find creates one; scopes_trim frees those without users, unsent news and restrictions.
 * Permits and bookings borrow a scope and count as users.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_SCOPE_H
#define ARKRELAY_WORKER_ACCOUNT_SCOPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/problem.h"

enum { SCOPE_NAME_SIZE = 129, SCOPE_WHY_SIZE = 256 };

enum scope_state {
    SCOPE_FREE,
    SCOPE_FAILING, /* the last call failed; few or no further calls may begin */
    SCOPE_LIMITED,
    SCOPE_OPEN,
    SCOPE_PROBING,
    SCOPE_HALF_OPEN,
    SCOPE_STATES
};

enum probe_result { PROBE_NOTHING, PROBE_UNUSED, PROBE_GOOD, PROBE_BAD };

/* Since the last report. */
struct scope_news {
    int ok, refused;
    int64_t ok_ms;    /* total duration of the accepted calls */
    int64_t pause_ms; /* the pause that ARK asked for */
    int run;          /* failures since the last accepted call */
    int64_t began_ms; /* monotonic: when the latest accepted call began; if there is none, the latest failed one */
    bool closing;
    bool wanted;          /* tasks of the model are blocked */
    enum problem problem; /* of the last failure */
    char why[SCOPE_WHY_SIZE];
    int64_t until_ms; /* wall clock; 0: not known */
    enum probe_result probe;
};

struct permit;

struct scope {
    TAILQ_ENTRY(scope) link;
    char name[SCOPE_NAME_SIZE];
    int users;      /* permits and bookings that borrow this scope */
    int held;       /* permits */
    bool held_told; /* Redis knows `held` */
    struct permit *
        first; /* of the call that found the scope closed, until on_confirmed; the scope is blocked until then, so there is one */
    struct scope_news news;
    struct scope_news sent; /* in the report in flight */
    bool sending;           /* the report in flight names this scope */

    enum scope_state state;
    bool listed;      /* the current reply names it */
    bool opened;      /* the current reply says that a call of this worker was the first to find it closed */
    bool logged;      /* the log says that its breaker is open */
    int calls;        /* calls that may begin, if restricted */
    bool probe_asked; /* Redis asked this worker to probe */
    bool trial;       /* this worker may make the trial call of a half-open scope, and no job has taken it yet */
    int64_t blocked_since_ms; /* monotonic: when it became open, probing or half-open */
};

TAILQ_HEAD(scope_list, scope);

struct scope *scopes_find(struct scope_list *list,
                          const char *name); /* creates it if missing; NULL when out of memory */
void scopes_trim(struct scope_list *list);   /* never frees the first one, the account */
void scopes_clear(struct scope_list *list);

bool scope_is_blocked(const struct scope *scope);
bool scope_has_news(const struct scope *scope);

/* Called with the state from Redis, and when a call of this worker finds the scope closed. */
void scope_set_state(struct scope *scope, enum scope_state state, int64_t now_ms);

void scope_send(struct scope *scope);   /* moves the news into a report */
void scope_sent(struct scope *scope);   /* the report was accepted */
void scope_repeat(struct scope *scope); /* the report was lost: merges it back */

/* "failing" "limited" "open" "probing" "half_open"; SCOPE_FREE if the name is unknown. */
enum scope_state scope_state_of(const char *name);

#endif
