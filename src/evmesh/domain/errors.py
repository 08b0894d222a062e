"""Every failure evmesh reports, as one small tree.

    EvmeshError                                                     exit  HTTP
      InvalidInput       what you sent is wrong; fix it               2    400
      Refused            a rule said no; state is unchanged           3    409
      Unavailable        device, broker or node is away; retry        4    503
      ProtocolViolation  the peer broke its protocol                  5    502
      IntegrityFailure   a signature, hash or certificate is false    6    422

Only `Unavailable` is retried, and only by a supervisor. An outcome that a caller must handle
every day (a refused request, an escrow too small) is a return value, not one of these.
"""

from typing import ClassVar


class EvmeshError(Exception):
    """A failure with a stable code, what happened, and what to do about it.

    `code` never changes once released (`meter.register_went_back`): it is the key of the
    translations and what scripts match on. `path` names the offending field of an input
    (`requests[3].departure`), where there is one.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, what: str, *, do: str = "", path: str = "") -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.do = do
        self.path = path

    def describe(self) -> str:
        """Say it to a person: what happened, then what to do, a line each."""
        at = f" (at {self.path})" if self.path else ""
        text = f"error {self.code}: {self.what}{at}"
        return f"{text}\ndo: {self.do}" if self.do else text


class InvalidInput(EvmeshError):
    """What was sent is wrong; the sender can fix it."""

    exit_code = 2
    http_status = 400


class Refused(EvmeshError):
    """A rule said no; nothing was changed."""

    exit_code = 3
    http_status = 409


class Unavailable(EvmeshError):
    """A device, a broker or a node is away; the same call may work later."""

    exit_code = 4
    http_status = 503


class ProtocolViolation(EvmeshError):
    """The peer broke its own protocol."""

    exit_code = 5
    http_status = 502


class IntegrityFailure(EvmeshError):
    """A signature, a hash, a proof or a certificate is false."""

    exit_code = 6
    http_status = 422
