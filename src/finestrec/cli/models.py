"""`finestrec models`."""

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Output


@grouped
def models(output: Output) -> None:
    """List the models that `--model` takes."""
    from rich.table import Table

    from finestrec.models import MODELS

    terminal = output.terminal()
    table = Table("name", "model")
    for name, model in MODELS.items():
        table.add_row(name, model.summary)
    terminal.show(table)
    terminal.document({"models": [{"name": name, "summary": model.summary} for name, model in MODELS.items()]})
