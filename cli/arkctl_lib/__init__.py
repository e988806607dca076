"""The modules of arkctl. Each imports only modules listed above it:

failure     exit codes, and the exception that ends a command
terminal    output to the terminal; units.py formats numbers
resp        a Redis client          gateway     the HTTP API          sse     a parser of Server-Sent Events
store       reads the queue from Redis, in the form of the HTTP API
follow      one task's events over any number of connections
describe    events and tasks as text
operate     the commands task, tasks, dead, queue, workers
watch       the commands tail and submit, with progress.py and images.py
doctor      the command doctor: checks and advice
top         the command top; frame.py draws it
completion  completion scripts for bash and zsh
cli         parses the arguments and runs the command; env_file.py reads ./.env
"""
