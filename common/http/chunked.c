#include "common/http/chunked.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/http/text.h"

enum {
    DIGITS_MAX = 16,
    EXTENSION_MAX = 256,
    TRAILER_MAX = 2048,
    FRAMING_FACTOR = 8,
    FRAMING_FREE = 4096,
};

enum byte_class {
    CLASS_CONTROL,
    CLASS_CR,
    CLASS_LF,
    CLASS_BLANK,
    CLASS_SEMICOLON,
    CLASS_EQUALS,
    CLASS_QUOTE,
    CLASS_BACKSLASH,
    CLASS_COLON,
    CLASS_TOKEN,
    CLASS_TEXT, /* all other printable bytes, and bytes above 0x7f */
    CLASS_COUNT
};

enum state {
    BAD,
    SIZE,
    BEFORE_SEMICOLON,
    BEFORE_NAME,
    NAME,
    AFTER_NAME,
    BEFORE_VALUE,
    VALUE,
    QUOTED,
    ESCAPED,
    AFTER_QUOTED,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE,
    STATE_COUNT
};

#define ANY_TEXT(state)                                                                                                \
    [CLASS_BLANK] = (state), [CLASS_SEMICOLON] = (state), [CLASS_EQUALS] = (state), [CLASS_COLON] = (state),           \
    [CLASS_TOKEN] = (state), [CLASS_TEXT] = (state)

/* clang-format off */
/* The next state for each class of byte; BAD where absent. parse_framing_byte() checks more in SIZE and SIZE_LF. */
static const uint8_t transitions[STATE_COUNT][CLASS_COUNT] = {
    [SIZE]             = { [CLASS_TOKEN] = SIZE, [CLASS_BLANK] = BEFORE_SEMICOLON, [CLASS_SEMICOLON] = BEFORE_NAME, [CLASS_CR] = SIZE_LF },
    [BEFORE_SEMICOLON] = { [CLASS_BLANK] = BEFORE_SEMICOLON, [CLASS_SEMICOLON] = BEFORE_NAME },
    [BEFORE_NAME]      = { [CLASS_BLANK] = BEFORE_NAME, [CLASS_TOKEN] = NAME },
    [NAME]             = { [CLASS_TOKEN] = NAME, [CLASS_BLANK] = AFTER_NAME, [CLASS_EQUALS] = BEFORE_VALUE,
                           [CLASS_SEMICOLON] = BEFORE_NAME, [CLASS_CR] = SIZE_LF },
    [AFTER_NAME]       = { [CLASS_BLANK] = AFTER_NAME, [CLASS_EQUALS] = BEFORE_VALUE, [CLASS_SEMICOLON] = BEFORE_NAME },
    [BEFORE_VALUE]     = { [CLASS_BLANK] = BEFORE_VALUE, [CLASS_TOKEN] = VALUE, [CLASS_QUOTE] = QUOTED },
    [VALUE]            = { [CLASS_TOKEN] = VALUE, [CLASS_BLANK] = BEFORE_SEMICOLON, [CLASS_SEMICOLON] = BEFORE_NAME, [CLASS_CR] = SIZE_LF },
    [QUOTED]           = { ANY_TEXT(QUOTED), [CLASS_BACKSLASH] = ESCAPED, [CLASS_QUOTE] = AFTER_QUOTED },
    [ESCAPED]          = { ANY_TEXT(QUOTED), [CLASS_BACKSLASH] = QUOTED, [CLASS_QUOTE] = QUOTED },
    [AFTER_QUOTED]     = { [CLASS_BLANK] = BEFORE_SEMICOLON, [CLASS_SEMICOLON] = BEFORE_NAME, [CLASS_CR] = SIZE_LF },
    [SIZE_LF]          = { [CLASS_LF] = DATA },
    [DATA_CR]          = { [CLASS_CR] = DATA_LF },
    [DATA_LF]          = { [CLASS_LF] = SIZE },
    [TRAILER]          = { [CLASS_TOKEN] = TRAILER_NAME, [CLASS_CR] = LAST_LF },
    [TRAILER_NAME]     = { [CLASS_TOKEN] = TRAILER_NAME, [CLASS_COLON] = TRAILER_VALUE },
    [TRAILER_VALUE]    = { ANY_TEXT(TRAILER_VALUE), [CLASS_BACKSLASH] = TRAILER_VALUE, [CLASS_QUOTE] = TRAILER_VALUE,
                           [CLASS_CR] = TRAILER_LF },
    [TRAILER_LF]       = { [CLASS_LF] = TRAILER },
    [LAST_LF]          = { [CLASS_LF] = DONE },
};
/* clang-format on */

static enum byte_class class_of(char c)
{
    switch (c) {
    case '\r':
        return CLASS_CR;
    case '\n':
        return CLASS_LF;
    case ' ':
    case '\t':
        return CLASS_BLANK;
    case ';':
        return CLASS_SEMICOLON;
    case '=':
        return CLASS_EQUALS;
    case '"':
        return CLASS_QUOTE;
    case '\\':
        return CLASS_BACKSLASH;
    case ':':
        return CLASS_COLON;
    default:
        if (http_is_token(&c, 1))
            return CLASS_TOKEN;
        return (unsigned char)c < 0x20 || c == 0x7f ? CLASS_CONTROL : CLASS_TEXT;
    }
}

void http_chunked_init(struct http_chunked *chunked, int64_t body_max)
{
    *chunked = (struct http_chunked){.body_max = body_max, .state = SIZE};
}

static bool chunked_fail(struct http_chunked *chunked, enum problem problem, const char *detail)
{
    chunked->problem = problem;
    chunked->detail = detail;
    return false;
}

static bool malformed(struct http_chunked *chunked, enum state state, char c)
{
    const char *detail = "A chunk size must have 1 to 16 hexadecimal digits";

    if (c == '\n' || state == SIZE_LF || state == TRAILER_LF || state == LAST_LF)
        detail = "Lines must end with CR LF";
    else if (state > SIZE && state < SIZE_LF)
        detail = "A chunk extension is malformed";
    else if (state == DATA_CR || state == DATA_LF)
        detail = "A chunk is longer than its size says";
    else if (state >= TRAILER)
        detail = "A trailer line is malformed";
    return chunked_fail(chunked, PROBLEM_BAD_REQUEST, detail);
}

static bool check_limits(struct http_chunked *chunked, enum state state)
{
    bool in_extension = state > SIZE && state < SIZE_LF;
    bool in_trailer = state >= TRAILER && state < LAST_LF;

    chunked->framing++;
    chunked->extension += in_extension;
    chunked->trailer += in_trailer;
    if (chunked->extension > EXTENSION_MAX)
        return chunked_fail(chunked, PROBLEM_BAD_REQUEST, "The extensions of a chunk are too long");
    if (chunked->trailer > TRAILER_MAX)
        return chunked_fail(chunked, PROBLEM_HEADERS_TOO_LARGE, "The trailers are too large");
    if (chunked->framing > FRAMING_FACTOR * chunked->content + FRAMING_FREE)
        return chunked_fail(chunked, PROBLEM_BAD_REQUEST,
                            "The chunks are too small: framing exceeds 8 times the content");
    return true;
}

static bool add_digit(struct http_chunked *chunked, char c)
{
    int value = ascii_hex_value(c);

    if (value < 0 || ++chunked->digits > DIGITS_MAX)
        return malformed(chunked, SIZE, c);
    chunked->left = chunked->left << 4 | (unsigned)value;
    return true;
}

/* After the line with a chunk size. Size 0 is followed by the trailers. */
static bool begin_chunk(struct http_chunked *chunked)
{
    chunked->digits = chunked->extension = 0;
    chunked->state = chunked->left ? DATA : TRAILER;
    if (chunked->left > (uint64_t)(chunked->body_max - chunked->content))
        return chunked_fail(chunked, PROBLEM_BODY_TOO_LARGE, NULL);
    return true;
}

static bool parse_framing_byte(struct http_chunked *chunked, char c)
{
    enum state state = chunked->state;
    enum state next = transitions[state][class_of(c)];

    if (state == SIZE && next != SIZE && !chunked->digits)
        next = BAD;
    if (next == BAD)
        return malformed(chunked, state, c);
    chunked->state = (uint8_t)next;
    if (state == SIZE && next == SIZE && !add_digit(chunked, c))
        return false;
    if (!check_limits(chunked, next))
        return false;
    return state != SIZE_LF || begin_chunk(chunked);
}

static size_t take_content(struct http_chunked *chunked, const char *bytes, size_t len, char *out)
{
    size_t n = len < chunked->left ? len : (size_t)chunked->left;

    memmove(out, bytes, n);
    chunked->left -= n;
    chunked->content += (int64_t)n;
    if (!chunked->left)
        chunked->state = DATA_CR;
    return n;
}

enum http_parse http_chunked_run(struct http_chunked *chunked, const char *bytes, size_t len, size_t *taken, char *out,
                                 size_t *out_len)
{
    size_t at = 0, written = 0;
    bool ok = true;

    while (ok && at < len && chunked->state != DONE) {
        if (chunked->state == DATA) {
            size_t n = take_content(chunked, bytes + at, len - at, out + written);

            written += n;
            at += n;
        } else {
            ok = parse_framing_byte(chunked, bytes[at++]);
        }
    }
    *taken = at;
    *out_len = written;
    return !ok ? HTTP_PARSE_FAILED : chunked->state == DONE ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}
