"""What the CSMS counts for Prometheus. Names and labels are stable; labels have few values each."""

from typing import Final

from prometheus_client import Counter, Gauge

STATIONS: Final = Gauge("evmesh_csms_stations", "Stations that are connected.")

FRAMES: Final = Counter("evmesh_csms_frames", "OCPP frames by direction and kind.", ["direction", "kind"])

CALLS_IN: Final = FRAMES.labels("in", "call")
ANSWERS_IN: Final = FRAMES.labels("in", "answer")
BAD_IN: Final = FRAMES.labels("in", "bad")
CALLS_OUT: Final = FRAMES.labels("out", "call")
ANSWERS_OUT: Final = FRAMES.labels("out", "answer")

ERRORS: Final = Counter("evmesh_csms_errors", "CALLERRORs that stations were answered with.", ["code"])

TOLERATED: Final = Counter(
    "evmesh_csms_tolerated", "Transaction messages that break their schema and were read nevertheless."
)
UNANSWERED: Final = Counter(
    "evmesh_csms_unanswered", "Transaction messages left unanswered, so that the station sends them again."
)
LATE_ANSWERS: Final = Counter(
    "evmesh_csms_late_answers", "Answers of stations to calls that had been given up."
)
TIMEOUTS: Final = Counter("evmesh_csms_call_timeouts", "Calls that a station did not answer in time.")
