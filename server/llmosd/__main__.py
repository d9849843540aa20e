"""The daemon's command line: `llmosd`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from llmosd import __version__
from llmosd.config_checks import ConfigError
from llmosd.config_sources import Loaded, Sources

# Of commands, and no settings.
_OWN = ("backup", "snapshot", "dry_run")
EX_DATAERR, EX_TEMPFAIL, EX_CONFIG = 65, 75, 78


def main() -> None:
    """Serve, or run a command.

    Exits 0 after a clean stop, 65 when a backup is damaged, 75 when another daemon runs, 78 on bad
    configuration or a state directory that cannot be used.
    """
    # gRPC's core would write a line that is no JSON for every handshake that fails.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = vars(_parser().parse_args())
    command: Callable[..., int] = arguments.pop("run", _serve)
    own = {name: arguments.pop(name) for name in _OWN if name in arguments}
    sources = Sources(arguments.pop("config", None), os.environ, arguments)
    sys.exit(command(sources, **own))


def _serve(sources: Sources) -> int:
    try:
        loaded = sources.load()
    except ConfigError as error:
        return _say(error, EX_CONFIG)
    # After the flags are known to be good: these imports take most of the start.
    from llmosd.daemon import run  # noqa: PLC0415
    from llmosd.errors import DataCorrupt  # noqa: PLC0415
    from llmosd.listeners import AlreadyRunning  # noqa: PLC0415
    from llmosd.log import configure_logging  # noqa: PLC0415

    configure_logging(loaded.config.log_level)
    if loaded.config.log_prompts:
        _warn_of_prompts()
    os.umask(0o027)
    try:
        asyncio.run(run(sources, loaded))
    except ConfigError as error:
        return _say(error, EX_CONFIG)
    except AlreadyRunning as error:
        return _say(error, EX_TEMPFAIL)
    except DataCorrupt as error:
        return _say(f"{loaded.config.state_dir}: {error}", EX_CONFIG)
    except OSError as error:
        return _say(f"{loaded.config.state_dir}: {error.strerror or error}", EX_CONFIG)
    return 0


def _check_config(sources: Sources) -> int:
    from llmosd.rpc.guard import load_policy  # noqa: PLC0415 - it takes a moment

    try:
        loaded = sources.load()
        load_policy(loaded.config)
    except ConfigError as error:
        return _say(error, EX_CONFIG)
    for name in sources.unknown_variables():
        sys.stderr.write(f"llmosd: {name}: the environment has it, and no setting is called so\n")
    given = f"{len(loaded.origins)} of them given, the rest by default"
    sys.stdout.write(f"the configuration is good: {_settings_count(loaded)} settings, {given}\n")
    return 0


def _settings_count(loaded: Loaded) -> int:
    return len(loaded.config.__struct_fields__)


def _restore(sources: Sources, *, backup: str, snapshot: str, dry_run: bool) -> int:
    try:
        state = None if dry_run else sources.load().config.state
    except ConfigError as error:
        return _say(error, EX_CONFIG)
    from llmosd.errors import DataCorrupt, UnsafeFile  # noqa: PLC0415 - as in _serve
    from llmosd.restore import RestoreError, restore  # noqa: PLC0415

    os.umask(0o027)
    try:
        done = restore(Path(backup), snapshot, state)
    except RestoreError as error:
        return _say(error, EX_CONFIG)
    except (DataCorrupt, UnsafeFile) as error:
        return _say(error, EX_DATAERR)
    except OSError as error:
        return _say(f"{error.filename or state}: {error.strerror or error}", EX_CONFIG)
    size = sum(file.bytes for file in done.files.values())
    what = "is whole" if state is None else f"is restored to {state}"
    what += f": {len(done.files)} files, {size} bytes"
    sys.stdout.write(f"the state of {done.create_time} {what}\n")
    return 0


def _warn_of_prompts() -> None:
    import structlog  # noqa: PLC0415 - after the settings, as above

    structlog.get_logger().warning(
        "prompts_are_logged",
        setting="log_prompts",
        meaning="WHAT PEOPLE ASK AND WHAT IS ANSWERED IS WRITTEN INTO THIS LOG",
    )


def _parser() -> argparse.ArgumentParser:
    flags = _flags()
    parser = argparse.ArgumentParser(
        prog="llmosd",
        parents=[flags],
        description="Serve language models over gRPC. Every setting of llmosd.toml can also be "
        "given as LLMOSD_<NAME> in the environment; flags come last and win.",
        epilog="exit status: 0 stopped or done, 65 a backup is damaged, 75 another daemon runs, "
        "78 bad configuration, or a state directory that cannot be used",
    )
    parser.add_argument("--version", action="version", version=f"llmosd {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    check = commands.add_parser(
        "check-config", parents=[flags], help="say what is wrong with the settings, and end"
    )
    check.set_defaults(run=_check_config)
    restore = commands.add_parser(
        "restore", parents=[flags], help="make the state directory from a backup, and end"
    )
    restore.add_argument("backup", metavar="FOLDER", help="what llmos backup wrote")
    restore.add_argument("--snapshot", default="", metavar="TIME", help="default: the newest")
    restore.add_argument(
        "--dry-run", action="store_true", help="check every byte of it, and write nothing"
    )
    restore.set_defaults(run=_restore)
    return parser


def _flags() -> argparse.ArgumentParser:
    """What every command takes; what is not given is not there."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings")
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help="where models and the catalog are kept (default: ~/.local/state/llmos)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        help="unix:PATH, or HOST:PORT with --insecure-loopback "
        "(default: llmosd.sock in $XDG_RUNTIME_DIR/llmos or the state directory)",
    )
    parser.add_argument(
        "--insecure-loopback",
        action="store_true",
        help="allow a TCP port of this machine, without access control",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, metavar="N", help="per model; 0: every processor")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    return parser


def _say(text: object, code: int) -> int:
    sys.stderr.writelines(f"llmosd: {line}\n" for line in str(text).splitlines())
    return code


if __name__ == "__main__":
    main()
