/* fake_ark - a server in its own process that answers every POST with the same bytes
 *
 * For tests whose own allocations fail. Serves one connection after the other, and ends with the test.
 * Errors: exits with a message if it cannot start.
 */
#ifndef TESTS_SUPPORT_FAKE_ARK_H
#define TESTS_SUPPORT_FAKE_ARK_H

struct fake_ark;

struct fake_ark *fake_ark_create(const char *answer); /* a complete HTTP response; the connection is closed after it */
struct fake_ark *fake_ark_destroy(struct fake_ark *ark);

int fake_ark_port(const struct fake_ark *ark);
int fake_ark_posts(struct fake_ark *ark); /* complete requests on connections that have ended */

#endif
