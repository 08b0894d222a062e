"""An import contract for the rooms that a stranger must be able to read and trust alone."""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class PlainPython(Contract):
    """The packages import this project and the standard library, less the modules in `banned`.

    import-linter's own `forbidden` contract needs every third-party package by name, so the next
    dependency would slip past it; this one asks what *is* allowed. A package that does not exist
    yet is passed over; one below another (`evmesh.domain.units`) is covered by it.
    """

    type_name = "plain_python"

    packages = fields.ListField(subfield=fields.StringField())
    banned = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        # The fields above are descriptions; on an instance each is the list that it describes.
        packages, banned = cast(list[str], self.packages), cast(list[str], self.banned)
        allowed = (set(sys.stdlib_module_names) | {"evmesh"}) - set(banned)
        violations = [
            (module, imported)
            for package in packages
            if package in graph.modules
            for module in sorted({package, *graph.find_descendants(package)})
            for imported in sorted(graph.find_modules_directly_imported_by(module))
            if imported.split(".")[0] not in allowed
        ]
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for module, imported in check.metadata["violations"]:
            output.print_error(f"{module} imports {imported}")
        output.new_line()
