"""Whose process this is: what the command line may do to its own is no business of a library."""

import threading

# set where the command line runs, in its workers too; C libraries may then be kept from printing on standard error,
# which belongs to the whole process, to all of its threads, and to the programs that it starts meanwhile
OWN_PROCESS = threading.Event()
