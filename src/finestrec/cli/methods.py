"""`finestrec methods`."""

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Output


@grouped
def methods(output: Output) -> None:
    """List the methods that `--method` and `--methods` take, with their options."""
    from rich.markup import escape
    from rich.table import Table

    from finestrec.stabilizers import STABILIZERS
    from finestrec.stabilizers.finest import FinestOptions

    terminal = output.terminal()
    table = Table("name", "kind", "strength", "options", "method")
    listed = []
    for name, method in STABILIZERS.items():
        fields = method.options_type.model_fields
        options = {key: field.default for key, field in fields.items()}
        text = (
            "those of [finest]"
            if method.options_type is FinestOptions
            else ", ".join(f"{key}={value}" for key, value in options.items())
        )
        summary = (method.__doc__ or "").partition("\n")[0]
        table.add_row(name, method.kind, method.strength or "", escape(text), escape(summary))
        listed.append(
            {"name": name, "kind": method.kind, "strength": method.strength, "options": options, "summary": summary}
        )
    terminal.show(table)
    terminal.document({"methods": listed})
