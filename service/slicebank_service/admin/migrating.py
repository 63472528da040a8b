"""`slicebank admin migrate`."""

from __future__ import annotations

from slicebank_service.admin.refusing import DataDir, settings_of


def migrate(data_dir: DataDir = None) -> None:
    """Create the catalogue, or bring it to this version; `serve` does so by itself."""
    from rich.console import Console

    from slicebank_store.catalogue import Catalogue

    with settings_of(data_dir) as settings:
        if settings.catalogue_url is None:
            settings.resolved_data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        Catalogue.create_or_upgrade(settings.resolved_catalogue_url).close()
        Console(highlight=False).print("The catalogue is of this version.")
