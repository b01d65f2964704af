"""Runtimes: what executes a model, each behind one protocol, in a module of its own name.

`protocol` says what such a module offers; `litert` is the model for the next one. To import the
module is to import the runtime, which the process that is timed does once, and nobody else has to:
the names alone are in `names`.
"""
