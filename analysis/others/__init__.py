"""Numbers that other tools have measured, for a look beside a run's, with what they lack."""

from analysis.others.beside import beside, beside_to_rich_table
from analysis.others.read import read_others

__all__ = ["beside", "beside_to_rich_table", "read_others"]
