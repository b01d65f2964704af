"""Print the table of faults: `make faults`, or `python -m tests.faults [--short]`."""

import argparse
import sys
import time

from tests.faults import clocks, disks, killed, model, nodes, shards, twins  # noqa: F401
from tests.faults.fault import FAULTS, Finding

HEAD = "| fault | promise | tried | held |\n|---|---|---:|---:|"


def run(short: bool, only: str) -> list[Finding]:
    """Bring about the faults that have `only` in their names, and print the table as it grows."""
    print(HEAD)
    findings = []
    for fault in FAULTS:
        if only in fault.what:
            begin = time.monotonic()
            findings.append(fault.run(short))
            print(findings[-1].line(), flush=True)
            print(f"{time.monotonic() - begin:.1f} s", file=sys.stderr)
    return findings


def main() -> None:
    """End with 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="as the tests do, in a minute")
    parser.add_argument("--only", default="", help="those that have this in their names")
    arguments = parser.parse_args()
    findings = run(arguments.short, arguments.only)
    for finding in findings:
        for said in finding.broken[:5]:
            print(f"broken: {finding.fault.what}: {said}", file=sys.stderr)
    sys.exit(not all(finding.holds for finding in findings))


if __name__ == "__main__":
    main()
