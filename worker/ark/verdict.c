#include "worker/ark/verdict.h"

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "worker/ark/answer.h"
#include "worker/ark/time.h"

#define RESET_MAX_MS (31 * INT64_C(86400000))

/* What a failed call means. */
enum meaning {
    REFUSED, /* not charged; would be refused again */
    ONCE,    /* not charged; a second call may succeed, a third one is pointless */
    AWAY,    /* not charged: nothing was sent, or not the whole request, or another server answered instead of ARK */
    BUSY,    /* not charged: rate limited or overloaded */
    RESETS,  /* not charged; the quota resets at a time in ARK's message */
    DOUBT,   /* perhaps charged */
    OPAQUE, /* perhaps charged; the answer is complete, so another call would get the same answer and may be charged too */
    UNDELIVERED, /* charged, but the images cannot be retrieved */
};

struct finding {
    enum meaning meaning;
    enum problem problem;
};

/* clang-format off */
static const struct {
    const char *code;
    struct finding finding;
} codes[] = {
    /* the request */
    { "MissingParameter",                     { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { "InvalidParameter",                     { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { "InvalidImageURL",                      { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { "BadRequest",                           { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    /* its content */
    { "InputTextSensitiveContentDetected",    { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "InputImageSensitiveContentDetected",   { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "OutputImageSensitiveContentDetected",  { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "SensitiveContentDetected",             { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "InputTextRiskDetection",               { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "InputImageRiskDetection",              { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "OutputImageRiskDetection",             { REFUSED, PROBLEM_ARK_CONTENT_REFUSED } },
    { "ContentSecurityDetectionError",        { ONCE,    PROBLEM_ARK_OVERLOADED } },
    /* the account */
    { "AuthenticationError",                  { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { "InvalidAccountStatus",                 { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { "InvalidSubscription",                  { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { "AccountOverdueError",                  { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { "OperationDenied",                      { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    /* the model */
    { "InvalidEndpoint",                      { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { "InvalidEndpointOrModel",               { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { "AccessDenied",                         { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { "OperationDenied.PermissionDenied",     { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { "ModelNotOpen",                         { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { "UnsupportedModel",                     { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    /* limits: these need an operator ... */
    { "QuotaExceeded",                        { REFUSED, PROBLEM_ARK_QUOTA_EXCEEDED } },
    { "SetLimitExceeded",                     { REFUSED, PROBLEM_ARK_QUOTA_EXCEEDED } },
    /* ... and these pass */
    { "ModelAccountIpmRateLimitExceeded",     { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "ModelAccountRpmRateLimitExceeded",     { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "ModelAccountTpmRateLimitExceeded",     { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "APIAccountRpmRateLimitExceeded",       { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "AccountRateLimitExceeded",             { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "RateLimitExceeded",                    { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "RequestBurstTooFast",                  { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "InflightBatchsizeExceeded",            { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "ServerOverloaded",                     { BUSY,    PROBLEM_ARK_OVERLOADED } },
    /* ARK itself */
    { "InternalServiceError",                 { DOUBT,   PROBLEM_OUTCOME_UNKNOWN } },
};

/* Codes whose meaning depends on the message; the first matching row. The message is compared without regard to case. */
static const struct {
    const char *code, *words;
    struct finding finding;
} messages[] = {
    { "QuotaExceeded",    "free trial",                { REFUSED, PROBLEM_ARK_QUOTA_EXCEEDED } },
    { "QuotaExceeded",    "reset at",                  { RESETS,  PROBLEM_ARK_QUOTA_EXCEEDED } },
    { "QuotaExceeded",    "exceeded the quota",        { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { "InvalidParameter", "timeout while downloading", { ONCE,    PROBLEM_ARK_INVALID_REQUEST } },
};

/* For unlisted codes, and for answers that are not from ARK; the first matching row. */
static const struct {
    int from, to;
    enum { ANYONE, ARK, OTHER } sender; /* ARK: its own error is in the body; OTHER: it is not */
    struct finding finding;
} statuses[] = {
    { 401, 401, ANYONE, { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { 403, 403, ANYONE, { REFUSED, PROBLEM_ARK_UNAUTHORIZED } },
    { 404, 404, ANYONE, { REFUSED, PROBLEM_ARK_MODEL_UNAVAILABLE } },
    { 429, 429, ANYONE, { BUSY,    PROBLEM_ARK_RATE_LIMITED } },
    { 503, 503, ARK,    { BUSY,    PROBLEM_ARK_OVERLOADED } },
    /* A proxy may send these after it forwarded the request to ARK. */
    { 408, 409, ANYONE, { DOUBT,   PROBLEM_OUTCOME_UNKNOWN } },
    { 499, 499, ANYONE, { DOUBT,   PROBLEM_OUTCOME_UNKNOWN } },
    /* A proxy sends these because of the request. */
    { 400, 400, OTHER,  { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { 411, 415, OTHER,  { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { 422, 422, OTHER,  { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    { 431, 431, OTHER,  { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
    /* A proxy, a sign-in page, or a wrong server instead of ARK. Redirects are not followed. */
    { 300, 499, OTHER,  { AWAY,    PROBLEM_ARK_UNREACHABLE } },
    { 511, 511, OTHER,  { AWAY,    PROBLEM_ARK_UNREACHABLE } },
    { 300, 499, ARK,    { REFUSED, PROBLEM_ARK_INVALID_REQUEST } },
};

/* What FINISH needs. */
static const struct {
    enum charge charge;
    enum verdict_action action; /* unless the attempts or paid calls are used up */
} meanings[] = {
    [REFUSED] = { CHARGE_VOID,    VERDICT_FAIL },
    [ONCE]    = { CHARGE_VOID,    VERDICT_RETRY },
    [AWAY]    = { CHARGE_VOID,    VERDICT_DEFER },
    [BUSY]    = { CHARGE_VOID,    VERDICT_DEFER },
    [RESETS]  = { CHARGE_VOID,    VERDICT_DEFER },
    [DOUBT]   = { CHARGE_UNKNOWN, VERDICT_RETRY },
    [OPAQUE]  = { CHARGE_UNKNOWN, VERDICT_FAIL },
    [UNDELIVERED]    = { CHARGE_KNOWN,   VERDICT_FAIL },
};
/* clang-format on */

/* These concern all tasks of the account or the model. The first task that finds one fails and says why; the others wait. */
static const enum problem closing[] = {PROBLEM_ARK_UNAUTHORIZED, PROBLEM_ARK_MODEL_UNAVAILABLE,
                                       PROBLEM_ARK_QUOTA_EXCEEDED};

static const struct finding doubt = {DOUBT, PROBLEM_OUTCOME_UNKNOWN};
static const struct finding opaque = {OPAQUE, PROBLEM_OUTCOME_UNKNOWN};

static const struct finding *find_exact(const char *code, size_t len)
{
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        if (strlen(codes[i].code) == len && !memcmp(codes[i].code, code, len))
            return &codes[i].finding;
    return NULL;
}

static const struct finding *find_code(const char *code)
{
    const struct finding *exact = find_exact(code, strlen(code));

    return exact ? exact : find_exact(code, strcspn(code, "."));
}

static const struct finding *find_error(const struct ark_error *error)
{
    size_t len = strcspn(error->code, ".");

    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++)
        if (strlen(messages[i].code) == len && !memcmp(messages[i].code, error->code, len) &&
            strcasestr(error->message, messages[i].words))
            return &messages[i].finding;
    return find_code(error->code);
}

static const struct finding *find_status(const struct ark_result *ark)
{
    for (size_t i = 0; i < ARRAY_LENGTH(statuses); i++)
        if (ark->http_status >= statuses[i].from && ark->http_status <= statuses[i].to &&
            (statuses[i].sender == ANYONE || (statuses[i].sender == ARK) == ark->has_error))
            return &statuses[i].finding;
    return NULL;
}

/* ARK reports generated images, although none arrived. */
static bool claims_images(const struct ark_result *ark)
{
    return ark->generated > 0 || ark->has_tokens || ark->promised > 0;
}

/* The images that ARK counts are those of the blank slots, or no slot arrived at all: ARK's count and slots agree. */
static bool is_lost(const struct ark_result *ark)
{
    return ark->generated > 0 && (ark->failed == ark->blank || ark->generated <= ark->blank);
}

/* ARK says that it generated nothing: by its count, or by an error for each slot. After an internal error, only the count is proof. */
static bool made_nothing(const struct ark_result *ark)
{
    if (claims_images(ark))
        return false;
    return ark->generated == 0 || (ark->failed > 0 && !ark->blank && !ark->stopped);
}

/* A complete answer with status 200, without an image and without an error of the request. */
static struct finding judge_empty(const struct ark_result *ark)
{
    const struct finding *slot = find_code(ark->slot_error.code);

    if (is_lost(ark))
        return (struct finding){UNDELIVERED, PROBLEM_ARK_NO_IMAGES};
    if (!made_nothing(ark))
        return opaque;
    if (slot && slot->problem == PROBLEM_ARK_CONTENT_REFUSED)
        return *slot;
    return (struct finding){REFUSED, PROBLEM_ARK_NO_IMAGES};
}

/* No image arrived. */
static struct finding judge(const struct evidence *evidence)
{
    const struct ark_result *ark = evidence->ark;
    const struct finding *known = find_error(&ark->error);

    if (evidence->end == WEB_NOT_SENT)
        return (struct finding){AWAY, PROBLEM_ARK_UNREACHABLE};
    known = known ? known : find_status(ark);
    if (known)
        return claims_images(ark) ? opaque : *known;
    if (evidence->end == WEB_PARTLY_SENT && !ark->http_status)
        return (struct finding){AWAY, PROBLEM_ARK_UNREACHABLE};
    if ((ark->is_job && ark->http_status < 300) || (ark->has_error && claims_images(ark)))
        return opaque;
    if (ark->completed && ark->http_status == 200 && !ark->has_error)
        return judge_empty(ark);
    return doubt;
}

bool verdict_is_closing(enum problem problem)
{
    for (size_t i = 0; i < ARRAY_LENGTH(closing); i++)
        if (closing[i] == problem)
            return true;
    return false;
}

static bool may_retry(const struct evidence *evidence, enum meaning meaning)
{
    if (evidence->attempt >= evidence->max_attempts)
        return false;
    return meaning == ONCE ? evidence->attempt == 1 : evidence->paid_calls < evidence->max_paid_calls;
}

static enum verdict_action choose_action(const struct evidence *evidence, const struct finding *finding)
{
    enum verdict_action action = meanings[finding->meaning].action;

    if (evidence->cancelled)
        return VERDICT_CANCELLED;
    if (evidence->closed && finding->meaning == REFUSED && verdict_is_closing(finding->problem))
        return VERDICT_DEFER;
    return action == VERDICT_RETRY && !may_retry(evidence, finding->meaning) ? VERDICT_FAIL : action;
}

/* "InvalidParameter: size ...", or another reason; "" if none is known. */
static void write_reason(char *out, size_t size, const struct evidence *evidence)
{
    const struct ark_result *ark = evidence->ark;
    const struct ark_error *error = ark->has_error ? &ark->error : &ark->slot_error;
    const char *words = evidence->end != WEB_ANSWERED && evidence->words ? evidence->words : "";

    if (ark->has_error || (!*words && !ark->broke))
        (void)snprintf(out, size, "%s%s%s", error->code, *error->code && *error->message ? ": " : "", error->message);
    else
        (void)snprintf(out, size, "%s", *words ? words : ark->broke);
}

/* "ARK refused the request: InvalidParameter: size ... (HTTP 400)" */
static void verdict_describe(const struct evidence *evidence, struct verdict *out)
{
    char reason[ARK_CODE_MAX + ARK_MESSAGE_MAX + 2], status[32] = "", count[64] = "";
    const struct ark_result *ark = evidence->ark;

    write_reason(reason, sizeof(reason), evidence);
    if (ark->generated > 0)
        (void)snprintf(count, sizeof(count), "; ARK counts %d generated images", ark->generated);
    else if (claims_images(ark))
        (void)snprintf(count, sizeof(count), "; ARK reports generated images");
    if (ark->http_status)
        (void)snprintf(status, sizeof(status), " (HTTP %d)", ark->http_status);
    (void)snprintf(out->words, sizeof(out->words), "%s%s%s%s%s", problem_title(out->problem), *reason ? ": " : "",
                   reason, count, status);
}

/* The quota resets at a known time: the task waits until then, at most 31 days. */
static void set_reset(const struct evidence *evidence, struct verdict *out)
{
    int64_t until_ms = ark_time_find(evidence->ark->error.message);

    if (until_ms <= evidence->now_ms || until_ms > evidence->now_ms + RESET_MAX_MS)
        return;
    out->until_ms = until_ms;
    out->delay_ms = until_ms - evidence->now_ms;
}

void verdict_decide(const struct evidence *evidence, struct verdict *out)
{
    struct finding finding;

    *out = (struct verdict){.action = VERDICT_DONE, .charge = CHARGE_KNOWN, .problem = PROBLEM_COUNT};
    if (evidence->ark->images > 0)
        return;
    finding = judge(evidence);
    out->action = choose_action(evidence, &finding);
    out->charge = meanings[finding.meaning].charge;
    out->problem = out->action == VERDICT_CANCELLED ? PROBLEM_CANCELLED : finding.problem;
    out->retryable = problem_retryable(out->problem) && out->charge == CHARGE_VOID;
    out->delay_ms = evidence->ark->retry_after_ms;
    if (finding.meaning == RESETS)
        set_reset(evidence, out);
    verdict_describe(evidence, out);
}

const char *verdict_action_name(enum verdict_action action)
{
    static const char *const names[] = {
        [VERDICT_DONE] = "done",   [VERDICT_FAIL] = "failed",         [VERDICT_RETRY] = "retry",
        [VERDICT_DEFER] = "defer", [VERDICT_CANCELLED] = "cancelled", [VERDICT_HANDBACK] = "handback",
    };

    return names[action];
}

const char *charge_name(enum charge charge)
{
    static const char *const names[] = {
        [CHARGE_KNOWN] = "known",
        [CHARGE_VOID] = "void",
        [CHARGE_UNKNOWN] = "unknown",
        [CHARGE_NONE] = "none",
    };

    return names[charge];
}
