"""What can go wrong, what is promised of it, and whether that holds: `python -m tests.faults`.

A module for each family of faults; each fault is a function that does it, many times, and asserts
what is promised.
"""
