"""Files that nobody has meant, given to what reads them: a clear error or a correct result.

`seeds` makes files as they should be, `targets` says what reads each kind, `child` does so in a
process of its own, within memory and time. `tests/test_fuzz_files.py` alters the files in the
default run; `guided` lets coverage tell how to alter them further (`make fuzz`).
"""
