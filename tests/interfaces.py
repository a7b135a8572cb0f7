"""An import-linter contract: other packages import a subpackage only through its `__init__`."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class InterfaceContract(Contract):
    """Forbid imports of a subpackage's modules from outside it.

    A subpackage whose `__init__` imports nothing is a folder: its modules are public.

    Options:
        packages: The top-level packages to check.
        exceptions: Importing modules to which the rule does not apply.
    """

    type_name = "interface"

    packages = fields.ListField(subfield=fields.StringField())
    exceptions = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001  # importlinter's interface
        illegal = sorted(
            (importer, imported)
            for package in self.packages  # type: ignore[attr-defined]
            for imported in graph.find_descendants(package)
            if (owner := _subpackage(imported)) and graph.find_modules_directly_imported_by(owner)
            for importer in graph.find_modules_that_directly_import(imported)
            if not f"{importer}.".startswith(f"{owner}.") and importer not in (self.exceptions or ())  # type: ignore[attr-defined]
        )
        return ContractCheck(kept=not illegal, metadata={"illegal": illegal})

    def render_broken_contract(self, check: ContractCheck) -> None:
        illegal: list[tuple[str, str]] = check.metadata["illegal"]
        for importer, imported in illegal:
            output.print_error(
                f"{importer} imports {imported}: import it from {_subpackage(imported)} instead."
            )


def _subpackage(module: str) -> str | None:
    """Return the subpackage that owns a module; None for a top-level package and its own modules."""
    owner = module.rpartition(".")[0]
    return owner if "." in owner else None
