"""The command line: one file a verb, all of them through the admin API.

Promises: exit status 0 done, 1 refused or failed, 2 wrong usage; with `--json` exactly one JSON
value on stdout and errors as JSON on stderr; a change has taken effect when the command returns.
Does not promise: rules of its own; what a command may do is decided behind the admin door.
Fails how: one plain line on stderr that says what happened and what to do.
"""
