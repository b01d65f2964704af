"""`python -m jobs` is `litesweep`."""

from jobs.cli import main

main()
