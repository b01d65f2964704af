"""Load on instances of a model, as pure functions: arrivals, queues, windows, the search."""
