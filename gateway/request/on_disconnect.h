/* on_disconnect - the request field that says what happens to the task when the client disconnects from its stream
 *
 * It belongs to one connection. It is not stored with the task and not part of the request's hash.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_ON_DISCONNECT_H
#define ARKRELAY_GATEWAY_REQUEST_ON_DISCONNECT_H

enum on_disconnect {
    ON_DISCONNECT_FINISH, /* default: the task continues; it may be paid for already, and the client can resume */
    ON_DISCONNECT_CANCEL_IF_QUEUED, /* cancel the task if it has not started */
    ON_DISCONNECT_CANCEL,           /* cancel it; a running task is asked to stop */
    ON_DISCONNECT_COUNT,
};

#endif
