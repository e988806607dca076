/* fake_ark - answers every POST with the same bytes, from a process of its own
 *
 * For tests whose own process cannot be trusted with that, because its allocations fail. One connection after the other.
 * Ends the process with a message when the machine does not play along; dies with the test.
 */
#ifndef TESTS_SUPPORT_FAKE_ARK_H
#define TESTS_SUPPORT_FAKE_ARK_H

struct fake_ark;

struct fake_ark *fake_ark_create(const char *answer); /* a whole HTTP response; the connection closes after it */
struct fake_ark *fake_ark_destroy(struct fake_ark *ark);

int fake_ark_port(const struct fake_ark *ark);
int fake_ark_posts(struct fake_ark *ark); /* whole requests so far, of connections that have ended */

#endif
