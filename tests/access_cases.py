"""Callers in every role and documents of every kind, for tests that compare the decision with a filter."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from config.policy import AccessPolicy
from domain.access import KINDS, RESEARCHERS, Access, Caller, Sensitivity, counting, within_scope

POLICY = AccessPolicy.load()
ME = "0190aaaa-0000-7000-8000-000000000001"
MINE = (f"user:{ME}", "department:icu", "self:LAB|1", "treating:LAB|2", "breakglass:LAB|3")
FOREIGN = ("user:2", "role:nurse", "department:oncology", "self:LAB|7", "treating:LAB|1", "breakglass:LAB|1")
UNIVERSE = (*MINE, *FOREIGN, "role:doctor", "role:admin", RESEARCHERS)


def reading(role: str, principals: Iterable[str]) -> frozenset[str]:
    """What an account with these principals searches with, in that role: as the edge and the slices make it."""
    counted = counting({f"user:{ME}", f"role:{role}", *principals}, POLICY.kinds(role))
    scope = POLICY.scope(role, "search.query")
    return within_scope(Caller(ME, role, counted), scope) if scope else frozenset()


def single_accesses() -> list[Access]:
    """Every principal alone on a list, in every sensitivity; and the empty lists."""
    listed = [frozenset({one}) for one in UNIVERSE] + [frozenset()]
    kinds = {one.partition(":")[0] for one in UNIVERSE}
    assert kinds == KINDS
    return [Access(principals, sensitivity) for principals, sensitivity in product(listed, Sensitivity)]
