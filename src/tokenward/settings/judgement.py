"""What evidence of theft may do, project by project, as the settings say it."""

from collections.abc import Callable

from tokenward.policy.rules import Rules
from tokenward.settings.shape import Policy, PolicyProject


def rules_by_project(policy: Policy) -> Callable[[str], Rules]:
    """The rules of a project, by its name; of one without a table of its own, the general ones."""
    general = _rules(policy, PolicyProject())
    own = {name: _rules(policy, project) for name, project in policy.project.items()}
    return lambda project: own.get(project, general)


def modes_by_project(policy: Policy) -> dict[str, str]:
    """What evidence may do in each project with a table of its own."""
    return {name: project.mode or policy.mode for name, project in policy.project.items()}


def _rules(policy: Policy, project: PolicyProject) -> Rules:
    holds = project.hold_dearer_models
    return Rules(
        mode=project.mode or policy.mode,
        key_kind=project.kind,
        suspect_calls=policy.suspect_calls_per_minute,
        false_challenges=policy.false_challenges_per_key_month,
        false_freezes=policy.false_freezes_per_key_month,
        holds_dearer_models=policy.hold_dearer_models if holds is None else holds,
    )
