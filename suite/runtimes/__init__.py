"""Runtimes: what executes a model, each behind one protocol, in a module of its own name."""
