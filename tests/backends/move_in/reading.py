"""What the parser tests share: a plan in short words, and arbitrary settings."""

from __future__ import annotations

from hypothesis import strategies as st

from backends.move_in.plan import Plan
from backends.targets import target_texts

SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 99) | st.sampled_from(["", "x", "a,b", "$X", "os.environ/X"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "use", "model"]), inner)
    ),
    max_leaves=6,
)


def backends(plan: Plan) -> dict[str, str]:
    """Base URL by name."""
    return {item.shape.name: item.shape.base_url for item in plan.backends}


def accounts(plan: Plan) -> dict[str, tuple[str, str]]:
    """Backend and kind by alias."""
    return {item.shape.alias: (item.shape.backend, item.shape.kind) for item in plan.accounts}


def keys(plan: Plan) -> dict[str, str]:
    """Key by alias."""
    return {item.shape.alias: item.key for item in plan.accounts if item.key}


def routes(plan: Plan) -> dict[str, list[str]]:
    """Targets by pattern."""
    return {
        item.shape.pattern: target_texts([target.spec for target in item.shape.targets])
        for item in plan.routes
    }


def left(plan: Plan) -> dict[str, str]:
    """Why by place, without its line."""
    return {each.where.rpartition(": ")[2]: each.why for each in plan.not_taken}
