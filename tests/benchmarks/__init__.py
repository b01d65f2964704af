"""Comparisons with other harnesses: ratios within one interleaved run, never absolute times."""
