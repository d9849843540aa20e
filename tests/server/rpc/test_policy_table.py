"""Every method that a daemon serves has one policy; what has none is denied."""

from contextlib import suppress

import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from llmosd.errors import PermissionDenied, Unauthenticated
from llmosd.roles import Role
from llmosd.rpc import policy
from llmosd.rpc.access import MANAGE_PLANE, USE_PLANE, Gate, Plane, Principal
from llmosd.rpc.server import SERVICE_NAMES

REGISTERED = (health_pb2, reflection_pb2)  # importing them registers their descriptors
TCP = Plane("tcp", Role.ADMIN, trusted=False)


def served():
    """Paths of all methods of all services, health and reflection included."""
    pool = descriptor_pool.Default()
    for name in (*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME):
        for method in pool.FindServiceByName(name).methods:
            yield f"/{name}/{method.name}"


def test_every_method_has_exactly_one_policy():
    methods = list(served())
    assert len(methods) > 70
    assert set(methods) == set(policy.RULES)
    rows = [m for rows in policy._TABLE.values() for _, names in rows for m in names.split()]
    assert len(rows) == len(policy.RULES)


def test_a_method_with_two_rows_is_seen():
    twice = {"a.B": [(policy.Rule(Role.USE), "C"), (policy.Rule(Role.ADMIN), "C D")]}
    with pytest.raises(ValueError, match="two rows for"):
        policy._rules(twice)


@pytest.mark.parametrize("role", [Role.NONE, Role.USE, Role.MANAGE, Role.ADMIN])
def test_roles_and_methods(role):
    """All roles by all methods: let through as the table says, and denied otherwise."""
    gate = Gate(TCP, None, {})
    through = set()
    for method in served():
        with suppress(PermissionDenied):
            gate.authorize(method, Principal("tcp", "token:a", role, "a"), ())
            through.add(method)
    assert through == {m for m in served() if policy.RULES[m].role <= role}
    sensitive = {
        "/llmos.v1.AccessService/CreateToken": Role.ADMIN,
        "/llmos.v1.ModelService/DeleteModel": Role.ADMIN,
        "/llmos.v1.ModelService/LoadModel": Role.MANAGE,
        "/llmos.v1.TrainingService/TrainModel": Role.MANAGE,
        "/llmos.v1.GenerationService/Generate": Role.USE,
        "/grpc.health.v1.Health/Check": Role.NONE,
    }
    for method, needed in sensitive.items():
        assert (method in through) == (role >= needed), method


@pytest.mark.parametrize("method", ["/llmos.v1.ModelService/Evil", "/a/b", ""])
def test_a_method_without_a_policy_is_denied_to_everybody(method):
    with pytest.raises(PermissionDenied, match="no policy"):
        Gate(MANAGE_PLANE, None, {}).authorize(method, Principal("manage", "", Role.ADMIN), ())


def test_without_credentials_only_the_health_check_is_open():
    assert [m for m in served() if policy.RULES[m].role is Role.NONE] == [
        "/grpc.health.v1.Health/Check"
    ]
    with pytest.raises(Unauthenticated, match="a token is needed"):
        Gate(TCP, None, {}).identify((), {})
    assert Gate(USE_PLANE, None, {}).identify((), {}).role is Role.USE


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([("authorization", "Basic eDp5")], "Bearer"),
        ([("authorization", "Bearer a"), ("authorization", "Bearer b")], "several"),
    ],
)
def test_odd_credentials(sent, says):
    with pytest.raises(Unauthenticated, match=says):
        Gate(MANAGE_PLANE, None, {}).identify(sent, {})


def test_what_changes_things_is_marked():
    """Reads are those whose names say so; all else above the role use changes something."""
    reads = ("Get", "List", "Watch", "Compare", "Estimate", "Rate", "Check", "Export", "Wait")
    for method, rule in policy.RULES.items():
        name = method.rpartition("/")[2]
        if rule.role > Role.USE and name != "ExportFeedback":
            assert rule.changes != name.startswith(reads), method
