"""The same trace on memory and on a real Redis, for each thing that is shared (meters: `test_meters`)."""

from __future__ import annotations

import pytest

from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.redis import machines

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


@pytest.mark.parametrize("machine", [machines.Answers, machines.Responses, machines.Budget, machines.Targets])
def test_machine(machine: type[machines.OnRedis], redis: RedisServer) -> None:
    machines.run(machine, redis, examples=15)
