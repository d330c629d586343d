"""What a gateway's caller can put into a request so that the check fails instead of answering."""

from __future__ import annotations

import pytest
from api_support import Served

from orgnode.api.gateways import LITELLM_PATH

HALF = '"\\ud800"'  # as JSON escapes half of a surrogate pair


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (LITELLM_PATH, f'{{"texts":["a"],"request_data":{{"user_api_key_alias":{HALF}}}}}', 200),
        (
            LITELLM_PATH,
            f'{{"texts":["a"],"additional_provider_specific_params":{{"route":{HALF}}}}}',
            200,
        ),
        (LITELLM_PATH, f'{{"texts":[{HALF}],{HALF}:1}}', 200),
        ("/v1/moderations", f'{{"input":{HALF},"model":{HALF}}}', 200),
        ("/v1/check", f'{{"text":"a","route":{HALF}}}', 422),
        ("/v1/check", f'{{"text":"a","tenant":{HALF}}}', 422),
        ("/v1/check", f'{{"text":"a",{HALF}:1}}', 422),
    ],
)
async def test_half_a_surrogate_pair_makes_no_check_fail(
    api: Served, path: str, body: str, status: int
) -> None:
    """A gateway that lets pass what the node fails on would let everything pass."""
    headers = {"Content-Type": "application/json"}
    async with api.session.post(api.url + path, data=body.encode(), headers=headers) as response:
        assert response.status == status, await response.text()
        await response.json()
