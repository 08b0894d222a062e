"""What a Modbus line does beside its devices, which tests/contract/test_edge_registers.py has."""

import asyncio
from types import SimpleNamespace

import pytest
from pymodbus.exceptions import ConnectionException

from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.template import load_template


class Client:
    """Answers, or connects, when it is told to, waiting as pymodbus does."""

    connected = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[SimpleNamespace] = asyncio.get_running_loop().create_future()

    async def connect(self) -> bool:
        return bool(await asyncio.wait_for(self.answer, 10))

    async def read_input_registers(self, address: int, *, count: int, device_id: int) -> SimpleNamespace:
        return await asyncio.wait_for(self.answer, 10)

    def close(self) -> None:
        self.connected = False


@pytest.mark.parametrize("error", [None, ConnectionException("cut")])
async def test_who_is_told_to_end_at_the_moment_of_an_answer_ends(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    line = ModbusLine(LineAddress(host="127.0.0.1"), load_template("eastron-sdm630").line)
    client = Client()
    monkeypatch.setattr(line, "_client", client)
    asking = asyncio.ensure_future(line.read(1, 4, 0, 1))
    await asyncio.sleep(0.01)
    if error is None:
        client.answer.set_result(SimpleNamespace(registers=[7], isError=lambda: False))
    else:
        client.answer.set_exception(error)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_is_told_to_end_while_the_line_is_opened_ends_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    line = ModbusLine(LineAddress(host="127.0.0.1"), load_template("eastron-sdm630").line)
    client = Client()
    monkeypatch.setattr(line, "_make", lambda: client)
    asking = asyncio.ensure_future(line.read(1, 4, 0, 1))
    await asyncio.sleep(0.01)
    if is_there:
        client.answer.set_result(SimpleNamespace())
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not client.connected
