/* slot_report - what a job reports of the slots of its call
 *
 *     failed slot -----------------------------------------------------------> EMIT
 *     image, not kept -------------------------------------------------------> EMIT
 *     image as a link, kept --> the record of an owed copy ------------------> EMIT
 *     image as bytes, kept --> keeper --stored, or it could not be stored----> EMIT
 *
 * While the keeper stores images, the slot report is busy. The end of the job must wait, because FINISH follows all slots.
 *
 * Ownership: embedded in its job. A zeroed one is idle, and can be deinitialized. Borrows what its config names.
 * Callbacks: on_idle when the last image of the keeper was reported, never from inside slot_report_add.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_JOB_SLOT_REPORT_H
#define ARKRELAY_WORKER_JOB_SLOT_REPORT_H

#include <stdbool.h>

#include "worker/job/picture_link.h"

struct ark_slot;
struct keeper;
struct loop;
struct metrics;
struct report;
struct storage;

struct slot_report_config {
    struct report *report;
    const char *id; /* of the task: "<client>.<task id>" */
    int attempt;
    const struct picture_rules *pictures;
    struct loop *loop;
    struct metrics *metrics; /* may be NULL */
    void (*on_idle)(void *arg);
    void *arg;
};

/* The fields are private. */
struct slot_report {
    struct slot_report_config config;
    struct keeper *keeper; /* NULL: no image was stored yet */
    struct storage *storage;
};

void slot_report_init(struct slot_report *slots, const struct slot_report_config *config);
void slot_report_deinit(struct slot_report *slots); /* no callback follows */

/* storage: for images that come as bytes. NULL: they go to Redis as data: URLs. If the slot cannot be reported, the report fails. */
void slot_report_add(struct slot_report *slots, const struct ark_slot *slot, struct storage *storage);
bool slot_report_is_busy(const struct slot_report *slots);

#endif
