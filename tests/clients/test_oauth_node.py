"""The token service with clients that nobody here wrote: oauth4webapi, openid-client and dpop."""

import json
import subprocess

import pytest

from guard import GuardProcess
from holder import Holder
from vendor import node_modules


@pytest.mark.slow
def test_node_clients_get_use_refresh_inspect_and_revoke_tokens(guard: GuardProcess) -> None:
    holder = Holder()
    key_id, key = guard.key()
    bound_id, _ = guard.key("--bind", "dpop", "--thumbprint", holder.thumbprint)
    jwk = json.dumps({**holder.jwk, "d": holder.d})
    done = subprocess.run(
        ["node", "oauth.mjs", guard.base_url, key_id, key, bound_id, jwk],
        cwd=node_modules(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["nonces"] == 1  # the first request is told the nonce, and all others have it
    assert said["called"] == [200, 1]
    assert said["type"] == "dpop"
    assert said["introspected"]["client_id"] == key_id
    assert said["introspected"]["active"] is True
    assert said["revoked"] == [False, 401, "invalid_token"]
    assert said["validated"] == [True, ["jkt"]]
    assert said["resource"] is True
    assert said["bound"] == [200, 200, "invalid_grant", 401]
    assert said["ed25519"] == 200
    assert said["thumbprint"] is True
    assert said["stolen"] == [401, "proof:invalid"]
