"""Optimisations: what makes a trained Keras model cheaper before it is converted.

Each is a file of its own with a `make`, and a line in `names`.
"""
