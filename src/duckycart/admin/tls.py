"""`duckycart tls` makes https possible in a network where no public authority signs for a name."""

import datetime
import sys
from pathlib import Path
from time import sleep
from typing import Annotated, Final

import typer

from duckycart.admin.shell import JsonOption, Shell, table

app = typer.Typer(no_args_is_help=True, help="Make a certificate in the shop's own network, and hand it to devices.")

MINUTES: Final = 15  # that the authority's certificate is handed out for
Folder = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Where the four files are.")]
_FOLDER: Final = Path("tls")


@app.command()
def make(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Names and addresses that devices open.", show_default=False),
    ] = None,
    folder: Folder = _FOLDER,
    new_authority: Annotated[
        bool, typer.Option("--new-authority", help="Make that anew too; every device must then trust the new one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a certificate for the server, signed by an authority of the shop's own, which is made the first time.

    Without a name it is for those of the certificate before, and the first
    time for this machine's address and host name.

    Run it again to renew: the authority stays, so no device has to do
    anything. A running server takes the new files up on SIGHUP
    (systemctl reload duckycart) and disconnects nobody.

    Example: duckycart tls make shop.lan 192.168.7.2
    """
    with Shell("", as_json) as shell:
        from duckycart.admin import authority

        made = authority.make(folder, names or (), datetime.datetime.now(datetime.UTC), new_authority=new_authority)
        files = {name: str((folder / name).absolute()) for name in (authority.CHAIN, authority.CHAIN_KEY)}
        shell.answer(
            {
                "names": made.names,
                "certificate": files[authority.CHAIN],
                "key": files[authority.CHAIN_KEY],
                "authority": str((folder / authority.AUTHORITY).absolute()),
                "not_after": made.until.isoformat(),
                "authority_not_after": made.authority_until.isoformat(),
                "fingerprint": made.fingerprint,
                "new_authority": made.new_authority,
            },
            table(
                ("for", ", ".join(made.names)),
                ("until", f"{made.until:%Y-%m-%d}"),
                ("DUCKYCART_TLS_CERT", files[authority.CHAIN]),
                ("DUCKYCART_TLS_KEY", files[authority.CHAIN_KEY]),
            ),
        )
        if made.new_authority:
            shell.hint(
                "Start the server with these two. Carts and tablets must trust the shop's authority, once for each: "
                f"`duckycart tls share` hands it to them. It is good until {made.authority_until:%Y-%m-%d}; keep "
                f"{folder / authority.AUTHORITY_KEY} to yourself, and a copy of it away from this machine."
            )
        else:
            shell.hint("The authority is the one before. A running server takes this up: systemctl reload duckycart.")


@app.command()
def share(
    folder: Folder = _FOLDER,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else this machine's in its network.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8001,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="It ends by itself after so long.")] = MINUTES,
    as_json: JsonOption = False,
) -> None:
    """Hand the authority's certificate to tablets and carts: by plain http, with a QR to scan, for some minutes.

    A tablet scans the QR and installs what it gets. A cart's program takes the
    file: curl -O http://ADDRESS:8001/ca.pem, and then --ca ca.pem. Whoever
    installs it compares the fingerprint with the one that is printed here:
    plain http could be tampered with on the way.

    It hands out that certificate and nothing else; no key leaves the folder.

    Example: duckycart tls share
    """
    with Shell("", as_json) as shell:
        from duckycart.admin import authority
        from duckycart.admin.handing_out import handing_out
        from duckycart.own_address import own_address

        certificate = authority.read_authority(folder)
        listening = host or own_address() or "127.0.0.1"
        with handing_out(certificate, listening, port) as url:
            shell.answer(
                {"url": url, "fingerprint": authority.fingerprint(certificate)},
                table(("open", url), ("SHA-256", authority.fingerprint(certificate))),
            )
            sys.stdout.flush()
            shell.draw(url)
            shell.hint(f"It is handed out for {minutes} minutes, or until Ctrl-C.")
            try:
                sleep(minutes * 60)
            except KeyboardInterrupt:
                shell.hint("")
