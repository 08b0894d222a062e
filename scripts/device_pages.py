"""Write docs/devices/*.md from the templates, so that pages and drivers never differ.

.venv/bin/python scripts/device_pages.py          write them
"""

from pathlib import Path

from evmesh.edge.template import Point, Template, load_template, template_ids

PAGES = Path(__file__).parent.parent / "docs" / "devices"
UNITS = {
    "TotalEnergyConsumption": "Wh",
    "PowerOutput": "W",
    "OutputCurrent": "mA",
    "MaximumOutputCurrent": "mA",
    "OperationState": "",
    "StateOfCharge": "%",
    "GeneratedPower": "W",
    "BatteryPower": "W",
    "GeneratedEnergy": "Wh",
}


def page(template: Template) -> str:
    """Give a device's page."""
    line = template.line
    wires = "TCP" if line.protocol == "tcp" else f"serial, {line.baud} baud, 8{line.parity}1"
    rows = [_row(point) for point in template.points]
    writes = [
        f"| `{rule.name}` | {rule.least} to {rule.most} {UNITS[rule.name]} | 0x{rule.address:04X} |"
        for rule in template.writes.values()
    ]
    text = [
        f"# {template.make} {template.model}",
        "",
        f"`{template.id}` · {template.kind} · grade: {template.grade}",
        "",
        f"Modbus, {wires}, unit {line.unit} unless it is set otherwise. Source: {template.source}",
        "",
        "| value | unit | where | type | times |",
        "|---|---|---|---|---|",
        *rows,
    ]
    if writes:
        text += ["", "What can be set, and is read back before it counts:", ""]
        text += ["| value | range | register |", "|---|---|---|", *writes]
    if template.serial is not None:
        where = f"FC{template.serial.function} 0x{template.serial.address:04X}, {template.serial.kind}"
        text += ["", f"Its serial number ({where}) tells when it was swapped for another one."]
    if template.control is not None:
        text += [
            "",
            f"`BatteryPower` can be set (model {template.control}) for a time, after which the battery goes",
            "its own way again; more than the device says it can is refused.",
        ]
    try_it = (
        f"evmesh edge read {template.id} {'tcp://HOST:502' if line.protocol == 'tcp' else '/dev/ttyUSB0'}"
    )
    return "\n".join(
        [*text, "", "Try it:", "", f"    {try_it}", "", "Made from the template; not edited by hand.", ""]
    )


def _row(point: Point) -> str:
    where = ", ".join(
        f"0x{place.address:04X}" if place.model is None else f"model {place.model} + {place.offset}"
        for place in point.places
        if place.address is not None or place.model is not None
    )
    if point.combine != "one":
        where = f"{point.combine} of {where}"
    order = "" if point.order == "big" else ", low word first"
    scale = f"{float(point.scale):g}" + (" × 10^register" if point.exponent else "")
    function = f"FC{point.function} "
    return f"| `{point.name}` | {UNITS[point.name]} | {function}{where} | {point.kind}{order} | {scale} |"


def index() -> str:
    """Give the list of all devices."""
    rows = [
        f"| [{t.make} {t.model}]({t.id}.md) | {t.kind} | {t.grade} |"
        for t in map(load_template, template_ids())
    ]
    return "\n".join(
        [
            "# Devices",
            "",
            "What the gateway drives (`src/evmesh/edge/`). Bronze reads, silver recovers alone from all",
            "that a line can do, gold does so against a simulator that was written from the datasheet and",
            "not from the driver. None of them was tried on the hardware itself yet.",
            "",
            "| device | kind | grade |",
            "|---|---|---|",
            *rows,
            "| [Mennekes Amtron](mennekes-mhcp.md) | charger | gold |",
            "| [SmartEVSE v2](smartevse-2.md) | charger | gold |",
            "",
            "A register device needs a TOML file of at most 40 lines and no Python: copy one of",
            "`src/evmesh/edge/templates/`, try it with `evmesh edge read`, and write its page with",
            "`scripts/device_pages.py`.",
            "",
            "A controller, a meter, a contactor and a lamp become [one station](station-from-parts.md).",
            "",
        ]
    )


def pages() -> dict[str, str]:
    """Give every page that is made, by file name."""
    return {f"{id}.md": page(load_template(id)) for id in template_ids()} | {"README.md": index()}


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text)
