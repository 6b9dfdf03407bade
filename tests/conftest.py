"""What every test shares: property tests draw the same examples on every run, so that a red run can be repeated."""

from hypothesis import settings

from tests.docker.fixtures import docker_daemon, docker_remote, docker_tls

__all__ = ["docker_daemon", "docker_remote", "docker_tls"]

settings.register_profile("stoker", derandomize=True, deadline=None, database=None)
settings.load_profile("stoker")
