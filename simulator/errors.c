#include "simulator/errors.h"

#include "common/base/macros.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first row of a status is its default code. */
static const struct sim_error_kind kinds[] = {
    {400, "InvalidParameter",                    "BadRequest",          "A parameter specified in the request is not valid.",                    false},
    {400, "MissingParameter",                    "BadRequest",          "The request is missing a required parameter.",                          false},
    {400, "InvalidImageURL.EmptyURL",            "BadRequest",          "Empty base64 image url",                                                false},
    {400, "InvalidImageURL.InvalidFormat",       "BadRequest",          "Invalid base64 image url",                                              false},
    {400, "InvalidEndpoint.ClosedEndpoint",      "BadRequest",          "The endpoint is closed or temporarily unavailable.",                    false},
    {400, "InputTextSensitiveContentDetected",   "BadRequest",
     "The request failed because the input text may contain sensitive information.",                                                             false},
    {400, "InputImageSensitiveContentDetected",  "BadRequest",
     "The request failed because the input image may contain sensitive information.",                                                            false},
    {400, "OutputImageSensitiveContentDetected", "BadRequest",
     "The request failed because the output image may contain sensitive information.",                                                           false},
    {400, "SensitiveContentDetected",            "BadRequest",          "The request may contain sensitive information.",                        false},
    {400, "InputTextRiskDetection",              "BadRequest",          "The input text was blocked by risk detection.",                         false},
    {400, "InputImageRiskDetection",             "BadRequest",          "The input image was blocked by risk detection.",                        false},
    {400, "OutputImageRiskDetection",            "BadRequest",          "The output image was blocked by risk detection.",                       false},
    {400, "ContentSecurityDetectionError",       "BadRequest",          "The risk detection itself failed.",                                     false},
    {400, "InvalidSubscription",                 "Forbidden",           "The account has no valid subscription.",                                false},
    {401, "AuthenticationError",                 "Unauthorized",        "the API key or AK/SK in the request is missing or invalid.",            false},
    {401, "InvalidAccountStatus",                "Forbidden",           "The account is not in a valid state.",                                  false},
    {403, "AccessDenied",                        "Forbidden",           "The request failed because access is denied.",                          false},
    {403, "AccountOverdueError",                 "Forbidden",           "The account has an overdue balance.",                                   false},
    {403, "OperationDenied",                     "Forbidden",           "The operation is denied.",                                              false},
    {404, "InvalidEndpointOrModel",              "NotFound",            "The model or endpoint does not exist or you do not have access to it.",
     false                                                                                                                                            },
    {404, "ModelNotOpen",                        "NotFound",            "The account has not activated the model.",                              false},
    {404, "UnsupportedModel",                    "NotFound",            "The plan does not include the model.",                                  false},
    {413, "RequestEntityTooLarge",               "BadRequest",          "The request body is too large.",                                        false},
    {429, "ModelAccountIpmRateLimitExceeded",    "TooManyRequests",
     "IPM (Images Per Minute) limit of the model is exceeded.",                                                                                  false},
    {429, "ModelAccountRpmRateLimitExceeded",    "TooManyRequests",
     "RPM (Requests Per Minute) limit of the model is exceeded.",                                                                                false},
    {429, "ModelAccountTpmRateLimitExceeded",    "TooManyRequests",
     "TPM (Tokens Per Minute) limit of the model is exceeded.",                                                                                  false},
    {429, "APIAccountRpmRateLimitExceeded",      "TooManyRequests",     "The account's requests per minute are exceeded.",
     false                                                                                                                                            },
    {429, "AccountRateLimitExceeded",            "TooManyRequests",     "The account's rate limit is exceeded.",                                 false},
    {429, "RateLimitExceeded",                   "TooManyRequests",     "The endpoint's rate limit is exceeded.",                                false},
    {429, "ServerOverloaded",                    "TooManyRequests",     "The service is overloaded; try again later.",                           false},
    {429, "RequestBurstTooFast",                 "TooManyRequests",     "The request rate grew too fast.",                                       false},
    {429, "InflightBatchsizeExceeded",           "TooManyRequests",     "Too many requests are in flight.",                                      false},
    {429, "QuotaExceeded",                       "TooManyRequests",     "The account's quota is used up.",                                       false},
    {429, "SetLimitExceeded",                    "TooManyRequests",     "The limit that the account has set is reached.",                        false},
    {500, "InternalServiceError",                "InternalServerError", "The service encountered an unexpected internal error.",                 true },
    {503, "ServiceUnavailable",                  "InternalServerError", "The service is temporarily unavailable.",                               true },
};

static const struct sim_error_kind *find(const char *code, size_t len)
{
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strlen(kinds[i].code) == len && !memcmp(kinds[i].code, code, len))
            return &kinds[i];
    return NULL;
}

const struct sim_error_kind *sim_error_kind_of(const char *code)
{
    const struct sim_error_kind *kind = find(code, strlen(code));

    if (!kind)
        kind = find(code, strcspn(code, "."));
    return kind ? kind : sim_error_kind_of_status(500);
}

const struct sim_error_kind *sim_error_kind_of_status(int status)
{
    const struct sim_error_kind *fallback = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (kinds[i].status == status)
            return &kinds[i];
        if (kinds[i].status == (status < 500 ? 400 : 500) && !fallback)
            fallback = &kinds[i];
    }
    return fallback;
}

void sim_error_init(struct sim_error *error, const char *code)
{
    const struct sim_error_kind *kind = sim_error_kind_of(code);

    *error = (struct sim_error){.status = kind->status};
    (void)snprintf(error->code, sizeof(error->code), "%s", code);
    (void)snprintf(error->type, sizeof(error->type), "%s", kind->type);
    (void)snprintf(error->message, sizeof(error->message), "%s", kind->message);
}

void sim_error_about(struct sim_error *error, const char *code, const char *param, const char *format, ...)
{
    va_list args;

    sim_error_init(error, code);
    (void)snprintf(error->param, sizeof(error->param), "%s", param);
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
}
