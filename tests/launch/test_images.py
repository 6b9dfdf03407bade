"""Which images may run, against a real registry with signatures made as cosign makes them."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.domain.containers import docker_run
from app.domain.failures import StokerError
from app.domain.images import parse_reference
from app.launch.images import admit
from app.launch.pinning import moved, pin
from app.settings import Home, find_home, load_presets
from tests.control.support import bundled_spec
from tests.docker.registry import INDEX, TestRegistry, registry

REPOSITORY = "team/engine"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestRegistry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = find_home({"STOKER_HOME": str(tmp_path / "home")})
    home.make()
    return home


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def policy(home: Home, text: str) -> None:
    (home.config / "config.toml").write_text(f"[images]\n{text}\n")


def trust(home: Home, *keys: Any) -> None:
    paths = [home.config / f"key-{number}.pub" for number in range(len(keys))]
    for path, each in zip(paths, keys, strict=True):
        path.write_bytes(each.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    policy(home, f'policy = "signed"\nkeys = {json.dumps([str(path) for path in paths])}')


def admitted(home: Home, image: str) -> str:
    (found,) = admit(home, bundled_spec(backend="docker", image=image), ())
    return found


def refusal(home: Home, image: str) -> StokerError:
    with pytest.raises(StokerError) as caught:
        admitted(home, image)
    return caught.value


def sign(images: TestRegistry, digest: str, made: bytes, signed: bytes) -> None:
    """Leave a signature where cosign leaves it."""
    annotations = {"dev.cosignproject.cosign/signature": base64.b64encode(made).decode()}
    layer = images.layer(REPOSITORY, signed, SIMPLE, annotations=annotations)
    images.manifest(REPOSITORY, f"{digest.replace(':', '-')}.sig", images.document(REPOSITORY, [layer]))


def payload(digest: str) -> bytes:
    image = {"docker-manifest-digest": digest}
    critical = {"identity": {"docker-reference": ""}, "image": image, "type": "cosign container image signature"}
    return json.dumps({"critical": critical, "optional": None}).encode()


def test_a_tag_becomes_the_digest_that_it_stands_for_and_a_move_is_noticed(images: TestRegistry) -> None:
    first = images.image(REPOSITORY, "moving", "first")
    name = f"{images.host}/{REPOSITORY}:moving"
    spec, checks = pin(bundled_spec(backend="docker", image=name), name)
    assert spec.digest == first
    assert [check.result for check in checks] == ["pass"]
    assert pin(spec, None)[1][0].result == "pass"
    second = images.image(REPOSITORY, "moving", "second")
    kept, (check,) = pin(spec, None)
    assert kept.digest == first, "what was launched goes on"
    assert check.result == "warn"
    assert second in check.detail
    assert pin(spec, name)[0].digest == second, "asked for again, it is the new one"


def test_the_engine_s_own_image_is_pinned_too_and_a_move_is_noticed_at_the_next_start(
    images: TestRegistry, home: Home
) -> None:
    first = images.image(REPOSITORY, "own", "first")
    name = f"{images.host}/{REPOSITORY}:own"
    preset = load_presets(home)["llama.cpp"]
    box = preset.container
    assert box is not None
    preset = replace(preset, container=replace(box, images=("localhost/mine:1", name)))
    spec, (check,) = pin(bundled_spec(backend="docker"), None, ("localhost/mine:1", name))
    assert (spec.pinned, check.result) == (f"{name}@{first}", "pass")
    assert admit(home, spec, ("localhost/mine:1", name)) == (
        "localhost/mine:1",
        f"{images.host}/{REPOSITORY}@{first}",
    )
    assert f"{name}@{first}" in docker_run(preset, spec, ("/app/llama-server",)), "the command has the digest"
    assert moved(spec, preset) is None
    second = images.image(REPOSITORY, "own", "second")
    found = moved(spec, preset)
    assert found is not None
    assert second in found.detail
    assert f"--image {name}" in found.remedy
    assert admit(home, spec, ("localhost/mine:1", f"{images.host}/{REPOSITORY}:other"))[1].endswith(":other")
    assert moved(bundled_spec(), preset) is None, "a process has no image"


def test_what_a_registry_does_not_know_is_left_to_the_host(images: TestRegistry, tmp_path: Path) -> None:
    for image, words in (
        (f"{images.host}/{REPOSITORY}:nope", "Check repository and tag"),
        ("127.0.0.1:1/x/y:1", "does not answer"),
    ):
        spec, (check,) = pin(bundled_spec(backend="docker", image=image), image)
        assert spec.digest is None
        assert (check.result, check.code) == ("warn", "IMAGE_PULL_FAILED")
        assert words in check.remedy
    with registry(tmp_path, locked=True) as locked:
        locked.image("x", "1")
        spec, (check,) = pin(bundled_spec(backend="docker", image=f"{locked.host}/x:1"), f"{locked.host}/x:1")
        assert "Log in" in check.remedy


def test_any_image_may_run_unless_a_policy_says_so(home: Home) -> None:
    assert admitted(home, "busybox") == "docker.io/library/busybox:latest"
    policy(home, 'policy = "allow"\nallow = ["registry.example/team/*"]')
    assert admitted(home, "registry.example/team/engine:2")
    error = refusal(home, "busybox")
    assert error.code == "IMAGE_NOT_ALLOWED"
    assert "registry.example/team/*" in error.message
    assert "images.allow" in error.remedy


def test_pinned_wants_a_digest(home: Home) -> None:
    policy(home, 'policy = "pinned"')
    digest = "sha256:" + "a" * 64
    assert admitted(home, f"x/y@{digest}") == f"docker.io/x/y@{digest}"
    assert "docker.io/x/y@sha256:" in refusal(home, "x/y:1").remedy


def test_a_preset_s_images_are_tried_as_far_as_they_are_let_in(home: Home) -> None:
    candidates = ("localhost/stoker/llama.cpp:latest", "registry.example/llama:1")
    spec = bundled_spec(backend="docker")
    assert admit(home, spec, candidates) == candidates
    policy(home, 'policy = "allow"\nallow = ["registry.example/*"]')
    assert admit(home, spec, candidates) == candidates[1:]


def test_a_signature_of_a_trusted_key_lets_it_in_by_digest(
    images: TestRegistry, home: Home, key: ec.EllipticCurvePrivateKey
) -> None:
    digest, name = images.image(REPOSITORY, "signed", "signed"), f"{images.host}/{REPOSITORY}:signed"
    trust(home, ed25519.Ed25519PrivateKey.generate(), key)
    error = refusal(home, name)
    assert error.code == "IMAGE_NOT_ALLOWED"
    assert "not signed" in error.message
    assert "cosign sign" in error.remedy
    sign(images, digest, key.sign(payload(digest), ec.ECDSA(SHA256())), payload(digest))
    assert admitted(home, name) == f"{images.host}/{REPOSITORY}@{digest}"
    trust(home, ec.generate_private_key(ec.SECP256R1()))
    assert "trusted key" in refusal(home, name).message


def test_a_signature_of_another_image_or_a_damaged_one_counts_for_nothing(
    images: TestRegistry, home: Home, key: ec.EllipticCurvePrivateKey
) -> None:
    digest, name = images.image(REPOSITORY, "other", "other"), f"{images.host}/{REPOSITORY}:other"
    trust(home, key)
    elsewhere = payload("sha256:" + "0" * 64)
    sign(images, digest, key.sign(elsewhere, ec.ECDSA(SHA256())), elsewhere)
    assert "trusted key" in refusal(home, name).message
    sign(images, digest, b"no signature", payload(digest))
    assert "trusted key" in refusal(home, name).message


def test_a_bundle_of_the_newer_form_counts(images: TestRegistry, home: Home) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    digest, name = images.image(REPOSITORY, "bundled", "bundled"), f"{images.host}/{REPOSITORY}:bundled"
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": digest[7:]}}]}
    body, kind = json.dumps(statement).encode(), b"application/vnd.in-toto+json"
    made = key.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
    envelope = {"payload": base64.b64encode(body).decode(), "payloadType": kind.decode()}
    envelope |= {"signatures": [{"sig": base64.b64encode(made).decode()}]}  # type: ignore[dict-item] # JSON is anything
    bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
    layer = images.layer(REPOSITORY, json.dumps({"dsseEnvelope": envelope}).encode(), bundle)
    document = images.document(REPOSITORY, [layer])
    held = images.manifest(REPOSITORY, "the-bundle", document)
    described = {"mediaType": document["mediaType"], "digest": held, "size": len(json.dumps(document))}
    referrers = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**described, "artifactType": bundle}]}
    images.manifest(REPOSITORY, digest.replace(":", "-"), referrers)
    trust(home, key)
    assert admitted(home, name).endswith(digest)


def test_a_dead_registry_is_not_taken_for_a_missing_signature(home: Home, key: ec.EllipticCurvePrivateKey) -> None:
    trust(home, key)
    assert refusal(home, "127.0.0.1:1/x/y:1").code == "IMAGE_PULL_FAILED"
    assert refusal(home, "localhost/x").code == "IMAGE_NOT_ALLOWED"


def test_a_recorded_digest_is_what_runs(home: Home) -> None:
    digest = "sha256:" + "b" * 64
    spec = replace(bundled_spec(backend="docker", image="x/y:1"), digest=digest)
    assert admit(home, spec, ()) == (f"docker.io/x/y@{digest}",)


@pytest.mark.parametrize("text", ["", "UPPER/case", "a b", "x@sha256:short", "-x", "x/../y", "a" * 600])
def test_what_names_no_image(text: str) -> None:
    with pytest.raises(StokerError, match="CONFIG_INVALID"):
        parse_reference(text)
