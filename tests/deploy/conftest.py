"""A real haproxy, as Debian packages it, with the file that is shipped."""

import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from tests.deploy.world import Balancer, ScriptedNode, balancing, scripted

MISSING = "NO HAPROXY on the PATH: deploy/haproxy.cfg is NOT tested"


@pytest.fixture(scope="package")
def haproxy() -> str:
    """Its path. Where there is none the tests are skipped, aloud; the continuous integration must have it."""
    path = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    return path or pytest.skip(MISSING)


@pytest.fixture(scope="package")
def authority() -> trustme.CA:
    return trustme.CA()


Balance = Callable[..., Balancer]


@pytest.fixture
async def balance(haproxy: str, authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Balance]:
    """`balance(port, …)` puts a haproxy in front of these nodes; the test starts it."""
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "haproxy.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with AsyncExitStack() as stack:

        def front(*ports: int) -> Balancer:
            balancer = Balancer(haproxy, tmp_path, trusting, list(ports))
            stack.enter_context(balancing(balancer))
            stack.push_async_callback(balancer.http.aclose)
            stack.push_async_callback(balancer.https.aclose)
            return balancer

        yield front


@pytest.fixture
async def one() -> AsyncIterator[ScriptedNode]:
    async with scripted() as node:
        yield node


@pytest.fixture
async def two() -> AsyncIterator[ScriptedNode]:
    async with scripted() as node:
        yield node
