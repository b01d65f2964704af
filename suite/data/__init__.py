"""Labelled data: examples with the number of their class, and ten thousand digits to start with."""
