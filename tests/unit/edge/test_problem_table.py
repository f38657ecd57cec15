"""Every error of ours has a status, and the code goes with it."""

from __future__ import annotations

import pytest

from deployments.edge.problems import STATUS, from_error, status_of
from domain import errors


def _all(kind: type[errors.MedsearchError]) -> list[type[errors.MedsearchError]]:
    return [kind, *(found for inner in kind.__subclasses__() for found in _all(inner))]


KINDS = [kind for kind in _all(errors.MedsearchError) if kind.__module__ == "domain.errors"][1:]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_class_has_a_status(kind: type[errors.MedsearchError]) -> None:
    assert 400 <= status_of(kind("x")) < 600
    assert status_of(kind("x")) != 500


def test_a_subclass_is_answered_like_its_nearest_ancestor() -> None:
    assert status_of(errors.LeaseLost("x")) == STATUS[errors.Conflict]
    assert status_of(errors.MedsearchError("x")) == 500


def test_401_names_the_scheme_and_503_a_time() -> None:
    missing = from_error(errors.Unauthenticated("x"))
    assert missing.headers["www-authenticate"] == 'Bearer realm="medsearch"'
    wrong = from_error(errors.Unauthenticated("x", code="auth.invalid_token"))
    assert wrong.headers["www-authenticate"] == 'Bearer realm="medsearch", error="invalid_token"'
    assert from_error(errors.Unavailable("x", retry_after=0.2)).headers["retry-after"] == "1"
