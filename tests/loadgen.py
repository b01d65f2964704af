"""A test of MLPerf's LoadGen on a system that sleeps: `python -m tests.loadgen SCENARIO FOLDER`."""

import sys
import time
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen

QUERIES = 200


def answer(samples: Any) -> None:
    for sample in samples:
        time.sleep(1e-4)
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])


def nothing(*_: object) -> None:
    pass


def main(scenario: str, folder: Path) -> None:
    folder.mkdir()
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = 1
    settings.min_query_count = settings.max_query_count = QUERIES
    settings.server_target_qps = settings.offline_expected_qps = 2000
    output = loadgen.LogOutputSettings()
    output.outdir = str(folder)
    logging = loadgen.LogSettings()
    logging.log_output = output
    logging.enable_trace = False
    loadgen.StartTestWithLogSettings(
        loadgen.ConstructSUT(answer, nothing),
        loadgen.ConstructQSL(64, 64, nothing, nothing),
        settings,
        logging,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
