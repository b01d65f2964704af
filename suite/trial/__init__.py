"""The trial: one fresh process that measures one cell on one node.

`launch` is the parent's side, `worker` the process that is timed, `protocol` what they say to each
other. Where a cell has several instances, or queries come in another way than one after the other,
`loads` makes the trial of a `group` of processes, each an `instance`, that share a `board`.
"""
