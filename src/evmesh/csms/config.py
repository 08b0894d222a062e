"""What an operator may set about the CSMS."""

from dataclasses import dataclass

from evmesh.domain.ids import StationId


@dataclass(frozen=True, slots=True)
class CsmsConfig:
    """Where it listens and how patient it is. Port 0 takes a free one.

    Intervals that stations keep (heartbeat, samples) are in the station's own time; timeouts of
    sockets and calls are wall time.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    heartbeat_interval_s: int = 300
    meter_sample_interval_s: int = 60
    call_timeout_s: float = 30
    max_frame_bytes: int = 4 * 1024 * 1024
    """A StopTransaction carries a whole session's samples: 1 kB a minute for two days is 3 MB."""
    ping_interval_s: float = 30
    ping_timeout_s: float = 60
    close_timeout_s: float = 3
    """How long a goodbye may take before the line is cut."""
    stations: frozenset[StationId] | None = None
    """Who may connect; None admits every well-formed identity."""
