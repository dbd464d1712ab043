"""`finestrec demo`."""

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Output


@grouped
def demo(output: Output) -> None:
    """Tell the whole story on a simulated log: training, a small deletion, retraining, stabilizing."""
    output.terminal()
