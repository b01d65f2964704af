"""Tests that need a real Slurm cluster: a throw-away one on this machine, see README.md."""
