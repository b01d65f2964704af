"""Write docs/baseline.md from a run's results: `python docs/baseline.py RUN > docs/baseline.md`."""
