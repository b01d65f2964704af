"""The node's state around rounds of trials, as rows of the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from suite.canonical import digest
from suite.probe import Probe, run_probe
from suite.results.rows import StateRow
from suite.state import State, read_state

TURBO = {True: "on", False: "off", None: ""}


@dataclass
class Watch:
    """Records the state of this node before each round and after the last, in some 6 ms each.

    Rounds that are there already when a job is taken up again are not watched again.
    """

    run_id: str
    job: int
    node_id: str
    cpus: Sequence[int]
    """Those that are granted; the first is probed."""
    record: Callable[[StateRow], None]
    round: int = field(default=-1, init=False)

    def before(self, number: int) -> None:
        """Record the state before a trial of round `number`, if it is the first of it."""
        if number != self.round:
            self.round = number
            self._look(number)

    def after(self) -> None:
        """Record the state after the last round, if there was any."""
        if self.round >= 0:
            self._look(self.round + 1)

    def _look(self, number: int) -> None:
        probe = run_probe(self.cpus[0])  # first, so that the frequency is that of a CPU at work
        self.record(self.row(number, probe, read_state(self.cpus)))

    def row(self, number: int, probe: Probe, state: State) -> StateRow:
        """Return the state before round `number` as a row; what is absent is NaN or empty."""
        throttling = state.throttling
        name = [self.run_id, self.job, self.node_id, number, state.unix_ns]
        return StateRow(
            state_id=digest(name, 16),
            state_node_id=self.node_id,
            state_job=self.job,
            state_round=number,
            state_unix_ns=state.unix_ns,
            state_probe_ns=probe.median_ns,
            state_probe_least_ns=probe.least_ns,
            state_load=_number(state.load),
            state_steal_ns=_number(state.steal_ns),
            state_throttle_count=_number(throttling.count if throttling else None),
            state_throttled_ns=_number(throttling.throttled_ns if throttling else None),
            state_frequency_hz=_number(state.frequency_hz),
            state_temperature_degc=_number(state.temperature_degc),
            state_governor=state.governor or "",
            state_turbo=TURBO[state.turbo],
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
