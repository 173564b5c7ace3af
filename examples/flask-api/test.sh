#!/bin/sh
# exec, not a call: the shell starts no process, so that the profile needs none of what starting one takes.
exec python3 -B -m pytest -q -p no:cacheprovider
