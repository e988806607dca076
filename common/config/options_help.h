/* options_help - the option table as text: --help, --help=markdown, --help=man
 *
 * Pure except for the output. The Markdown table is the source of docs/configuration.md, the man(7) section of the manual pages.
 */
#ifndef ARKRELAY_CONFIG_OPTIONS_HELP_H
#define ARKRELAY_CONFIG_OPTIONS_HELP_H

#include <stdio.h>

struct option_table;

void options_help_text(const struct option_table *table, FILE *out);
void options_help_markdown(const struct option_table *table, FILE *out);
void options_help_man(const struct option_table *table, FILE *out);

#endif
