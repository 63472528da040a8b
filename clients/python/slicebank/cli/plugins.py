"""Commands that other packages bring, through the entry-point group `slicebank.commands`.

An entry point is named like the command (`serve`), or with a dot for one of a group (`encoders.add`), and its value is
a plain function with typer annotations. It is imported only when its command is run, so that `slicebank jobs list`
stays light, and its `--help` comes from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import typer

from slicebank.cli.command import command, report
from slicebank.cli.commands import encoders
from slicebank.cli.output import Output
from slicebank.cli.session import GlobalOptions
from slicebank.errors import MissingExtra

GROUP = "slicebank.commands"
ALL_EXTRAS = "service,worker"


@dataclass(frozen=True, slots=True)
class KnownPlugin:
    """What is said of a command without importing it, and the extras it needs."""

    help: str
    extras: str


KNOWN: Mapping[str, KnownPlugin] = {
    "serve": KnownPlugin("Run the whole service on this machine: broker, API and workers.", ALL_EXTRAS),
    "listen": KnownPlugin("Take studies in that are sent over the DICOM network (C-STORE).", "service"),
    "admin.migrate": KnownPlugin("Create the catalogue, or bring it to this version.", "service"),
    "admin.verify": KnownPlugin("Compare the catalogue with the blobs, both ways; --repair mends.", "service"),
    "admin.gc": KnownPlugin("Remove blobs and uploads that nobody needs.", "service"),
    "admin.backup": KnownPlugin("Write all rows of the catalogue to a file.", "service"),
    "admin.restore": KnownPlugin("Make the catalogue what it was when it was backed up.", "service"),
    "encoders.add": KnownPlugin("Register an encoder with weights from this machine's disk.", "worker"),
    "encoders.pull": KnownPlugin("Fetch published weights and register them here, or with --server there.", "worker"),
    "encoders.verify": KnownPlugin("Read stored weights again, every byte; --server has the server do it.", "worker"),
    "encoders.remove": KnownPlugin(
        "Remove an encoder that was pulled or added; --server has the server do it.", "worker"
    ),
    "pretrain.cache": KnownPlugin("Decode slices into a cache to pre-train on.", "train"),
    "pretrain.run": KnownPlugin("Pre-train an encoder by LECL or MoCo v3; the same command goes on.", "train"),
    "pretrain.settings": KnownPlugin("Print the settings of pre-training as a file that explains itself.", "train"),
    "pretrain.export": KnownPlugin("Write the encoder of a run, for `encoders add` or as a MoCo v3 file.", "worker"),
    "pretrain.ablate": KnownPlugin("Compare MoCo v3 and LECL over lesion weights and architectures.", "train"),
}

# Commands on this machine that a server does too, over REST, where they are given this option.
SERVER_OPTION = "--server"
AT_SERVER: Mapping[str, Callable[..., None]] = {
    "encoders.pull": encoders.pull_at_server,
    "encoders.verify": encoders.verify_at_server,
    "encoders.remove": encoders.remove_at_server,
}

GROUPS: Mapping[str, str] = {
    "admin": "Care of an installation.",
    "pretrain": "Pre-training of encoders on slices of one's own.",
}


def add_plugins(app: typer.Typer, groups: dict[str, typer.Typer], found: Iterable[EntryPoint] | None = None) -> None:
    """Register every plugin command, and those that are known and not installed.

    Args:
        app: the command line.
        groups: its groups by name; a dotted plugin of another group makes one.
        found: the entry points; those of this installation by default.
    """
    points = {point.name: point for point in (entry_points(group=GROUP) if found is None else found)}
    for name in sorted({*KNOWN, *points}):
        group_name, _, leaf = name.rpartition(".")
        if group_name and group_name not in groups:
            about = GROUPS.get(group_name, f"Commands about {group_name}.")
            groups[group_name] = typer.Typer(help=about, no_args_is_help=True)
            app.add_typer(groups[group_name], name=group_name)
        target = groups[group_name] if group_name else app
        known = KNOWN.get(name, KnownPlugin(f"A command of {_origin(points.get(name))}.", ALL_EXTRAS))
        # Options, --help among them, go to the plugin unread.
        target.command(
            leaf,
            help=known.help,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        )(_runner(name, known, points.get(name)))


def _origin(point: EntryPoint | None) -> str:
    return point.dist.name if point is not None and point.dist is not None else "another package"


def _runner(name: str, known: KnownPlugin, point: EntryPoint | None) -> Callable[[typer.Context], None]:
    spoken = f"slicebank {name.replace('.', ' ')}"

    def run(ctx: typer.Context) -> None:
        outer = ctx.find_root().obj
        options = outer if isinstance(outer, GlobalOptions) else GlobalOptions()
        if name in AT_SERVER and SERVER_OPTION in ctx.args:
            _call_at_server(AT_SERVER[name], spoken, ctx.args, options)
            return
        missing = known.extras
        if point is not None:
            try:
                _call(point.load(), spoken, ctx.args, options)
            except ImportError as error:
                missing = error.name or str(error)
            else:
                return
        report(Output(as_json=options.as_json), MissingExtra(f"`{spoken}`", extra=known.extras, missing=missing))
        raise typer.Exit(1)

    return run


def _call_at_server(function: Callable[..., None], spoken: str, arguments: list[str], options: GlobalOptions) -> None:
    remote = typer.Typer(add_completion=False)
    command(remote, "run")(function)
    left = [argument for argument in arguments if argument != SERVER_OPTION]
    remote(args=left, prog_name=f"{spoken} {SERVER_OPTION}", obj=options)


def _call(function: Callable[..., object], spoken: str, arguments: list[str], options: GlobalOptions) -> None:
    plugin = typer.Typer(add_completion=False)
    plugin.command()(function)
    if options.data_dir is not None and "data_dir" in inspect.signature(function).parameters:
        arguments = ["--data-dir", str(options.data_dir), *arguments]
    plugin(args=arguments, prog_name=spoken)
