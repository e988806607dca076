#include "gateway/tasks/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void submission_set_inputs(struct submission *submission, const struct task_spec *spec)
{
    const size_t prefix = sizeof(TASK_UPLOAD_PREFIX) - 1;

    for (size_t i = 0; i < spec->url_count; i++) {
        const char *url = spec->urls[i];

        if (task_url_is_upload(url))
            (void)snprintf(submission->uploads[submission->upload_count++], SHA256_HEX_SIZE, "%s", url + prefix);
        else if (!strncmp(url, "data:", 5))
            submission->data_len += strlen(url);
    }
}

struct submission *submission_copy(const struct submission *submission)
{
    struct submission *copy = malloc(sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *submission;
    copy->request = strdup(submission->request);
    copy->plan = strdup(submission->plan);
    if (copy->request && copy->plan)
        return copy;
    return submission_destroy(copy);
}

struct submission *submission_destroy(struct submission *submission)
{
    if (submission) {
        free(submission->request);
        free(submission->plan);
    }
    free(submission);
    return NULL;
}
