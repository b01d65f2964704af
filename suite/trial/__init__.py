"""The trial: one fresh process that measures one cell on one node.

`launch` is the parent's side, `worker` the process that is timed, `protocol` what they say to each
other.
"""
