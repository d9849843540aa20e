"""llmos certs: certificates for the daemon's TLS port and for those who come by it."""

from pathlib import Path

import click

from llmos_client.cli.options import Group, Settings, pass_settings


@click.group("certs", cls=Group)
def command() -> None:
    """Make certificates for tcp_listen; needs no daemon."""


@command.command("init")
@click.option(
    "--dir", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where."
)
@click.option(
    "--host",
    "hosts",
    required=True,
    multiple=True,
    metavar="NAME",
    help="What clients call the daemon's machine: a name or an IP address; may be repeated.",
)
@click.option(
    "--client", default="client", metavar="NAME", help="The name in the client's certificate."
)
@pass_settings
def init(settings: Settings, folder: Path, hosts: tuple[str, ...], client: str) -> None:
    """Make a CA, a certificate for the daemon and one for a client.

    Where DIR has a CA, it is kept and makes new certificates: so they are renewed.
    """
    from llmos_client.cli.certificates import make_certificates
    from llmos_client.cli.output import print_json

    made = make_certificates(folder, hosts, client)
    if settings.json:
        print_json({"files": made})
        return
    for path in made:
        print(path)
    click.echo(
        f'In llmosd.toml: tls_cert = "{folder / "server.pem"}", '
        f'tls_key = "{folder / "server-key.pem"}", and to have clients show certificates '
        f'tls_client_ca = "{folder / "ca.pem"}" with certificates = {{ "{client}" = '
        '{ role = "use", tenant = "NAME" } }. Clients: LLMOS_TLS_CA, LLMOS_TLS_CERT, '
        "LLMOS_TLS_KEY. Keep ca-key.pem away from the network.",
        err=True,
    )
