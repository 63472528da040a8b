"""What `slicebank serve` says once it is up."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_service.dicom_network.settings import ListenerSettings
from slicebank_service.serving.supervisor import Serving


def print_banner(console: Console, settings: ListenerSettings, serving: Serving) -> None:
    """Prints where the service is, where it keeps things, with which encoder it embeds, and how to begin."""
    card = EncoderRegistry(settings.resolved_encoders_dir).get(DEFAULT_ENCODER)
    encoder = escape(card.id)
    if not card.trained:
        encoder += "  [yellow]untrained weights: good for trying the path, not for clinical questions[/yellow]"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("API", f"{serving.url}/v1")
    if settings.listen_port is not None:
        grid.add_row("DICOM", escape(f"{settings.listen_aet} on {settings.listen_host}:{settings.listen_port}"))
    grid.add_row("data", escape(str(settings.resolved_data_dir)))
    grid.add_row("logs", escape(str(settings.resolved_data_dir / "logs")))
    grid.add_row("encoder", encoder)
    grid.add_row(
        "begin", "slicebank upload FOLDER_OR_ZIP    [dim](in another terminal; Ctrl-C here ends the service)[/dim]"
    )
    console.print(Panel(grid, title="slicebank is serving", title_align="left", expand=False))
