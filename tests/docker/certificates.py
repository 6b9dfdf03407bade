"""Certificates of a test's own authority, in the files that Docker's daemon and clients look for."""

import subprocess
from pathlib import Path


def make_certificates(folder: Path, address: str) -> Path:
    """`ca.pem`, and `cert.pem` and `key.pem` for a client, with `server.pem` and `server-key.pem` for `address`."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", "-days", "2", "-subj", "/CN=authority", *_new("ca-key.pem"), "-out", "ca.pem")
    for name, key, use in (("server.pem", "server-key.pem", "serverAuth"), ("cert.pem", "key.pem", "clientAuth")):
        (folder / "extensions").write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage={use}\n")
        _openssl(folder, "req", "-subj", f"/CN={use}", *_new(key), "-out", "request")
        signing = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "extensions")
        _openssl(folder, "x509", "-req", "-days", "2", "-in", "request", *signing, "-out", name)
    return folder


def _new(key: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)
