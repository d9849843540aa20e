"""The daemon's command line: `llmosd`."""

import argparse
import asyncio
import os
import sys

from llmosd import __version__
from llmosd.config import load_config
from llmosd.config_checks import ConfigError

EX_TEMPFAIL, EX_CONFIG = 75, 78


def main() -> None:
    """Serve; exit 0 after a clean stop, 75 when another daemon runs, 78 on bad configuration."""
    # gRPC's core would write a line that is no JSON for every handshake that fails.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = vars(_parser().parse_args())
    file = arguments.pop("config")
    try:
        config = load_config(file, os.environ, arguments)
    except ConfigError as error:
        sys.exit(_say(str(error), EX_CONFIG))
    # After the flags are known to be good: these imports take most of the start.
    from llmosd.daemon import run  # noqa: PLC0415
    from llmosd.listeners import AlreadyRunning  # noqa: PLC0415
    from llmosd.log import configure_logging  # noqa: PLC0415

    configure_logging(config.log_level)
    if config.log_prompts:
        _warn_of_prompts()
    os.umask(0o027)
    try:
        asyncio.run(run(config))
    except ConfigError as error:
        sys.exit(_say(str(error), EX_CONFIG))
    except AlreadyRunning as error:
        sys.exit(_say(str(error), EX_TEMPFAIL))
    except OSError as error:
        sys.exit(_say(f"{config.state_dir}: {error.strerror or error}", EX_CONFIG))


def _warn_of_prompts() -> None:
    import structlog  # noqa: PLC0415 - after the settings, as above

    structlog.get_logger().warning(
        "prompts_are_logged",
        setting="log_prompts",
        meaning="WHAT PEOPLE ASK AND WHAT IS ANSWERED IS WRITTEN INTO THIS LOG",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmosd",
        description="Serve language models over gRPC. Every setting of llmosd.toml can also be "
        "given as LLMOSD_<NAME> in the environment; flags come last and win.",
        epilog="exit status: 0 stopped, 75 another daemon runs, 78 bad configuration",
    )
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
        default=None,
        help="allow a TCP port of this machine, without access control",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, metavar="N", help="per model; 0: every processor")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--version", action="version", version=f"llmosd {__version__}")
    return parser


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"llmosd: {text}\n")
    return code


if __name__ == "__main__":
    main()
