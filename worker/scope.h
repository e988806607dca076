/* scope - the ARK account, or one of its models, as this worker knows it
 *
 * Holds what the worker has to report of a scope and has not reported yet, and what Redis said of it last. The account's scope has the name "".
 * The governor owns all scopes; permits and bookings borrow them and count as users.
 *
 * Ownership: scopes_find creates a scope; scopes_trim frees those without users, news and restrictions.
 * Threads:   the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_SCOPE_H
#define ARKRELAY_WORKER_SCOPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/problem.h"

enum { SCOPE_NAME_SIZE = 129, SCOPE_WHY_SIZE = 256 };

enum scope_state {
    SCOPE_FREE,
    SCOPE_FAILING, /* nothing is restricted so far, but the last call failed */
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
    int64_t ok_ms;    /* how long the accepted calls ran, together */
    int64_t pause_ms; /* as ARK asked */
    int run;          /* failures since the last accepted call */
    int64_t began_ms; /* monotonic: the youngest accepted call; without one, the youngest failed one */
    bool closing;
    bool wanted;          /* tasks of the model wait */
    enum problem problem; /* of the last failure */
    char why[SCOPE_WHY_SIZE];
    int64_t until_ms; /* wall clock; 0: not known */
    enum probe_result probe;
};

struct permit;

struct scope {
    TAILQ_ENTRY(scope) link;
    char name[SCOPE_NAME_SIZE];
    int users;            /* permits and bookings that point here */
    int held;             /* permits */
    bool held_told;       /* Redis knows `held` */
    struct permit *first; /* of the call that found the scope closed, until Redis says whether it was the first one */
    struct scope_news news;
    struct scope_news sent; /* in the report under way, */
    bool sending;           /* if it has one of this scope */

    enum scope_state state;
    bool listed;       /* the answer at hand names it, */
    bool opened;       /* and says that a call of this worker was the first that found it closed */
    bool logged;       /* the log says that it is closed */
    int calls;         /* that may begin, if limited, open, probing or half-open */
    bool probe_asked;  /* this worker is to probe */
    bool trial;        /* the one call of a half-open scope was granted to this worker and has not begun */
    int64_t closed_ms; /* monotonic: since when it is open, probing or half-open */
};

TAILQ_HEAD(scope_list, scope);

struct scope *scopes_find(struct scope_list *list,
                          const char *name); /* created where missing; NULL when out of memory */
void scopes_trim(struct scope_list *list);   /* never frees the first one, the account */
void scopes_clear(struct scope_list *list);

bool scope_is_closed(const struct scope *scope);
bool scope_has_news(const struct scope *scope);

/* Also called by the worker itself, when a call says that the scope is closed. */
void scope_set_state(struct scope *scope, enum scope_state state, int64_t now_ms);

void scope_send(struct scope *scope);      /* the news go into a report */
void scope_sent(struct scope *scope);      /* Redis has them */
void scope_take_back(struct scope *scope); /* the report was lost */

/* "failing" "limited" "open" "probing" "half_open"; SCOPE_FREE where the name is not known. */
enum scope_state scope_state_of(const char *name);

#endif
