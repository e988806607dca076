/* link_rules - how a link to a picture is fetched from inside this network
 *
 * Links lead to public addresses, with two exceptions that the operator configures:
 *
 * - Links to a host that one of the trusted URLs names, such as the base URL of a simulator.
 * - A map of prefixes: a link that begins with a public one is fetched at an internal one. A simulator in a container writes links for the
 *   browser's address of it, `http://localhost:8081`, and is reached at `http://ark-sim:8081`.
 *
 * URLs are compared as libcurl, which will fetch them, parses them: scheme, host and port must be equal.
 *
 * Ownership: the creator destroys the rules.
 * Threads:   any, one at a time.
 */
#ifndef ARKRELAY_WEB_LINK_RULES_H
#define ARKRELAY_WEB_LINK_RULES_H

#include <stdbool.h>

#include "common/base/err.h"

struct buf;
struct link_rules;

enum { LINK_RULES_MAX = 16 }; /* entries of the map */

/* trusted: URLs, closed by NULL; empty ones are skipped. map: `public=internal` separated by commas or spaces; may be empty.
 * ERR_SYNTAX: `why` says which entry is wrong; ERR_NO_MEMORY. */
int link_rules_create(const char *const *trusted, const char *map, struct link_rules **out, struct buf *why) MUST_CHECK;
struct link_rules *link_rules_destroy(struct link_rules *rules); /* accepts NULL; returns NULL */

/* Writes the URL to fetch into `out`. `may_be_private`: its host is one that the operator has named.
 * ERR_SYNTAX: not an http or https URL, or it has a user name. */
int link_rules_apply(const struct link_rules *rules, const char *link, struct buf *out,
                     bool *may_be_private) MUST_CHECK;

#endif
