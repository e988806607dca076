"""What the integration tests stand on: real processes, a real Redis, raw sockets. Standard library only.

    processes     start, watch and end programs; the test case that prints their logs when a test fails
    redis_server  a private redis-server
    resp          a small Redis client
    scripts       the Lua transitions, run as the programs run them
    script_test   the test case for one transition at a time
    store         what stands in Redis, and what must hold there after every step
    model         what a task may be, without Redis
    proxy         a TCP proxy that fails on purpose
    http_client   an HTTP client that hides nothing, and a reader of event streams
    recordings    the requests that real clients send, byte for byte
    fleet         the programs of a world while they are disturbed, and what was done to whom
    faults        what is done to them: at random, from a seed
    crowd         clients that see their tasks through, whatever happens
    screen        a terminal with a program in it
    judge         what must be true when it is over
    world         all of it together: Redis, the ARK simulator, gateways, workers

Nothing here sleeps to wait: everything waits for an event, with a deadline.
"""
