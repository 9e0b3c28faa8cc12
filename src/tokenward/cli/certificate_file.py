"""The certificate of a key's holder, from a file."""

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tokenward.binding.certificates import read_certificate, why_unfit
from tokenward.cli.desk import CommandError
from tokenward.machine import RealClock

FILE_BYTES_MAX: Final = 1_000_000


def holder_thumbprint(path: Path) -> str:
    """`x5t#S256` of the first certificate in a PEM file, which is the holder's own where its
    authorities follow. Raises CommandError for one that no call could be made with now."""
    try:
        with path.open("rb") as file:
            found = x509.load_pem_x509_certificates(file.read(FILE_BYTES_MAX))[0]
    except OSError as error:
        raise _unfit(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _unfit(path, "is none in PEM form (-----BEGIN CERTIFICATE-----)") from None
    certificate = read_certificate(found.public_bytes(Encoding.DER))
    if certificate is None:
        raise _unfit(path, "cannot be read, or is very large")
    why = why_unfit(certificate, RealClock().now_ms())
    if why:
        raise _unfit(path, why)
    return certificate.thumbprint


def _unfit(path: Path, why: str) -> CommandError:
    return CommandError(f"The certificate in {path} {why}", "certificate:unfit")
