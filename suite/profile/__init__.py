"""The profile: one process that asks the runtime what each operator of a cell's graph takes.

Never during a trial: a profile changes the timing. `launch` is the parent's side, `worker` the
process.
"""
