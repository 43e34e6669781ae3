"""Who signs: a key and certificate of your own, made on first use, or real ones that you bring.

A signature proves that its maker holds the key, and a certificate says who that is, on the word of
its issuer. A self-made one is issued by a root that nobody knows: the file's credentials are
"valid", but "trusted" only for those to whom you give root.pem.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from minisora.files import write_whole

YEARS = 20  # that a self-made certificate holds; then what it signed ceases to be valid
ALGORITHMS = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}
ALGORITHMS |= {"RSAPrivateKey": b"ps256", "Ed25519PrivateKey": b"ed25519"}


def signing_folder() -> Path:
    """Return where key.pem, certificate.pem and root.pem are: ~/.config/minisora/signing.

    MINISORA_CONFIG replaces ~/.config/minisora. A real certificate goes there as well: its
    unencrypted key as key.pem, with mode 0600, and the chain, the signer's first, as
    certificate.pem.
    """
    home = os.environ.get("MINISORA_CONFIG") or Path.home() / ".config" / "minisora"
    return Path(home).expanduser() / "signing"


def identity() -> tuple[bytes, bytes, bytes]:
    """Return the signer's algorithm, certificate chain and private key (PEM), made on first use.

    Raises:
        ValueError: they cannot be made, read or used.
    """
    place = signing_folder()
    key, chain = place / "key.pem", place / "certificate.pem"
    try:
        if not key.exists() and not chain.exists():
            make(place)
        if os.name == "posix" and key.stat().st_mode & 0o077:
            raise ValueError(f"cannot sign: others may read {key}; chmod 600 it, or make a new one")
        return checked(key.read_bytes(), chain.read_bytes(), place)
    except OSError as error:
        told = f"{error.filename or place}: {error.strerror}; MINISORA_CONFIG names another folder"
        raise ValueError(f"cannot sign: {told}") from None


def make(place: Path) -> None:
    """Make a root, a key, and a certificate that the root issues; the root's key is forgotten."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    private = own.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())

    def fill(folder: Path) -> None:
        own_alone = partial(os.open, mode=0o600)  # from its first moment on
        with open(folder / "key.pem", "xb", opener=own_alone) as file:
            file.write(private)
        for name, public in (("certificate", own.public_key()), ("root", root.public_key())):
            pem = certificate(public, root).public_bytes(form.Encoding.PEM)
            (folder / f"{name}.pem").write_bytes(pem)

    try:
        write_whole(place, fill, folder=True)
    except OSError:
        if not (place / "key.pem").exists():  # else another program was faster: take its key
            raise


def certificate(public, root):
    """Issue a certificate to a public key, or the root's own.

    The profile is that of the C2PA specification 2.3, section 14.5, X.509 Certificates.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    top, now = public == root.public_key(), datetime.now(timezone.utc)

    def name(of: str) -> x509.Name:
        words = {"ORGANIZATION_NAME": "self-made certificate", "COMMON_NAME": f"minisora {of}"}
        oid = x509.NameOID
        return x509.Name([x509.NameAttribute(getattr(oid, k), v) for k, v in words.items()])

    builder = x509.CertificateBuilder(name("root"), name("root" if top else "on one computer"))
    builder = builder.public_key(public).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))  # clocks differ
    builder = builder.not_valid_after(now + timedelta(days=365 * YEARS))
    extensions = {
        x509.BasicConstraints(top, 0 if top else None): True,
        # Nine uses: the first is to sign files, the sixth and seventh to issue certificates.
        x509.KeyUsage(not top, False, False, False, False, top, top, False, False): True,
        x509.SubjectKeyIdentifier.from_public_key(public): False,
        x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()): False,
    }
    if not top:
        extensions[x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])] = False
    for extension, critical in extensions.items():
        builder = builder.add_extension(extension, critical)
    return builder.sign(root, hashes.SHA256())


def checked(key: bytes, chain: bytes, place: Path) -> tuple[bytes, bytes, bytes]:
    """Return what `identity` returns, or say what is wrong without quoting the key."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as form

    try:
        private = form.load_pem_private_key(key, None)
        first = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it wants a password
        problem = "key.pem is no unencrypted PEM key, or certificate.pem no PEM certificate"
        raise ValueError(f"cannot sign: in {place}, {problem}") from None
    if first.public_key() != private.public_key():
        raise ValueError(f"cannot sign: in {place}, certificate.pem belongs to another key")
    begin, end = first.not_valid_before_utc, first.not_valid_after_utc
    if not begin <= datetime.now(timezone.utc) <= end:
        when = f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"
        problem = f"certificate.pem holds from {when}; without it and key.pem, new ones are made"
        raise ValueError(f"cannot sign: in {place}, {problem}")
    kind = private.curve.name if hasattr(private, "curve") else type(private).__name__
    algorithm = next((name for key, name in ALGORITHMS.items() if key in kind), None)
    if algorithm is None:
        raise ValueError(f"cannot sign: C2PA has no place for a key of the kind {kind}")
    pkcs8 = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return algorithm, chain, pkcs8
