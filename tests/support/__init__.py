"""Support for the integration tests: real processes, a real Redis, raw sockets. Standard library only.

    processes     start, watch and end programs; the test case that prints their logs when a test fails
    redis_server  a private redis-server
    resp          a small Redis client
    scripts       runs the Lua scripts as the programs do
    script_test   the test case for single scripts
    store         reads the data in Redis, and checks its invariants
    model         a model of tasks, without Redis
    proxy         a TCP proxy that injects faults
    http_client   a raw HTTP client, and a reader of event streams
    recordings    recorded requests of real clients
    fleet         the programs of a world during fault injection
    faults        random faults, from a seed
    crowd         clients that resume until their tasks have ended
    screen        a program in a terminal
    hooks         receivers of webhooks that fail at random, and what they must have got
    payers        clients with different spending limits, and what the ledger must say about them
    places        a directory or a bucket for pictures
    kept_pictures what must be stored after fault injection
    outbox        makes entries of the outbox due
    judge         checks the invariants after fault injection
    world         Redis, the ARK simulator, gateways and workers together

No module sleeps for a fixed time: every wait is for a condition, with a deadline.
"""
