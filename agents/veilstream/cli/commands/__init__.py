"""One module a command, or a group of commands. Nothing heavy at import time."""
