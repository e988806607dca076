"""arkctl's parts. Each knows those above it only:

failure     what a command can end with
terminal    what is printed, and how; units.py has the numbers
resp        a Redis client          gateway     the HTTP API          sse     a reader of event streams
store       the queue, read from Redis as the HTTP API tells it
follow      one task's events over as many connections as it takes
story       events and tasks in words
operate     task, tasks, dead, queue, workers
watch       tail and submit, with progress.py and pictures.py
doctor      what is wrong, and what to do
top         the live view; frame.py draws it
completion  for bash and zsh, made from the arguments
cli         the arguments; picks the command; env_file.py reads ./.env
"""
