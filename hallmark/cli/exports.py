"""`hallmark models export`, `verify-export`, `statement`, `keygen`: what others can read about a version."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from core.text import counted
from hallmark import api
from hallmark.cli.completing import completes, versions
from hallmark.cli.terminal import Json, PublicKeys, emit, out
from hallmark.cli.workspace import open_registry

Reference = Annotated[
    str, typer.Argument(help="NAME@champion or NAME@v3.", autocompletion=completes(versions))
]


def export(
    reference: Reference,
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    json: Json = False,
) -> None:
    """Write a version's files, model card, statement and metrics to a directory, for the hub or a server."""
    exported = api.export(reference, directory, force=force)
    if json:
        emit({**asdict(exported), "directory": str(exported.directory)})
        return
    where = f"{counted(exported.files, 'file')} in {directory}"
    out.print(Text(f"{exported.model} v{exported.version}: {where}", "bold green"), soft_wrap=True)
    out.print_line(f"check it:  hallmark models verify-export {directory}")
    out.print_line(f"push it:   hf upload ORG/NAME {directory}")


def verify_export(
    directory: Annotated[Path, typer.Argument(help="An exported directory, or a download of one.")],
    public_key: PublicKeys = None,
    json: Json = False,
) -> None:
    """Hash an exported directory against its statement. Exits with 3 when they differ. Needs no registry."""
    from provenance.keys import load_public_key
    from provenance.verification import verify_export as verify

    found = verify(directory, [load_public_key(path) for path in public_key or []])
    if json:
        emit({"directory": str(directory), **asdict(found)})
    else:
        for problem in found.problems:
            out.print(problem, markup=False, style="red", soft_wrap=True)
        signers = ", ".join(keyid[:16] for keyid in found.keyids) or "an unnamed key"
        signature = {
            "none": "not signed",
            "not_checked": f"signed, it says, by {signers}; not checked: give --public-key",
            "valid": f"signed by {signers}",
            "invalid": "the signature does not hold",
        }[found.signature]
        state = (
            counted(len(found.problems), "problem")
            if found.problems
            else f"{counted(found.files, 'file is', 'files are')} as the statement says"
        )
        out.print(f"{found.model}: {state}; {signature}", markup=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(3)


def statement(reference: Reference, json: Json = False) -> None:
    """Print the statement of a version (in-toto, SLSA Provenance) as an export holds it, signed or not."""
    from core.files import canonical_json
    from provenance import configured_key, stored_document

    registry = open_registry()
    document = stored_document(registry, registry.models.get(reference), configured_key())
    if json:
        emit(document)
    else:
        sys.stdout.write(canonical_json(document) + "\n")


def keygen(
    path: Annotated[
        Path,
        typer.Argument(help="File of the private key; the public one is written beside it, as PATH.pub."),
    ],
    json: Json = False,
) -> None:
    """Make a key pair (Ed25519) for signing; HALLMARK_SIGNING_KEY_PASSWORD encrypts the private key."""
    from core.settings import get_settings
    from provenance.keys import make_key_pair

    key = make_key_pair(path, get_settings().signing_key_password)
    if json:
        emit({"private_key": str(path), "public_key": f"{path}.pub", "keyid": key.keyid})
        return
    out.print(
        f"private key: {path}  (keep it; sign with HALLMARK_SIGNING_KEY={path.absolute()})",
        markup=False,
        soft_wrap=True,
    )
    out.print(f"public key:  {path}.pub  (give it to those who verify)", markup=False, soft_wrap=True)
    out.print(f"key id:      {key.keyid}", markup=False, soft_wrap=True)
