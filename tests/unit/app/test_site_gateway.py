"""The gateway beside the platform reads what it is given, on the platform's time."""

from pathlib import Path

from evmesh.app.config import load_site
from evmesh.app.run_file import RunFile
from evmesh.app.sim_hardware import pin_of, sim_chargers
from evmesh.app.site_gateway import GATEWAY, gateway_argv, write_gateway
from evmesh.edge.config import load_gateway

EXAMPLES = Path(__file__).parents[3] / "examples"


def run_with(devices: dict[str, int]) -> RunFile:
    return RunFile(1, "site.toml", 60, 8080, 9000, 1884, "http://127.0.0.1:8545", "clock", devices=devices)


def test_its_file_names_the_simulated_charger_with_its_port_and_key(tmp_path: Path) -> None:
    site, run = load_site(EXAMPLES / "site.toml"), run_with({"workshop-amtron": 25_001})
    assert write_gateway(tmp_path, site, run)
    config = load_gateway(Path(gateway_argv(tmp_path)[-1]))
    assert (config.name, config.port, config.clock) == (GATEWAY, 1884, tmp_path / "clock")
    [device] = config.devices
    assert (device.name, device.driver, device.line) == (
        "workshop-amtron",
        "mennekes-mhcp",
        "127.0.0.1:25001",
    )
    assert device.key_file == pin_of(tmp_path, "workshop-amtron")
    [charger] = sim_chargers(tmp_path, site, run)
    assert (charger.port, charger.key) == (25_001, device.key_file.read_text().strip())
    assert device.key_file.stat().st_mode & 0o077 == 0
    assert charger.current == device.rule.safe_current == 16_000


def test_a_site_without_anything_to_read_needs_none(tmp_path: Path) -> None:
    assert not write_gateway(tmp_path, load_site(EXAMPLES / "tree.toml"), run_with({}))
    assert not (tmp_path / "edge").exists()
