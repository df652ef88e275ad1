"""The policy: which file of a group stays and why, and what may happen to the others.

keep        keep rules: files to the one that is kept, with the reason
deciding    a person's decisions, brought into the pairs before they are grouped
planning    groups to a plan: each file that goes is itself near one that stays
"""

from imkin.policy.deciding import respect
from imkin.policy.keep import DEFAULT_RULES, Facts, Rule, choose, parse_rules
from imkin.policy.planning import Bundles, Terms, plan

__all__ = ["DEFAULT_RULES", "Bundles", "Facts", "Rule", "Terms", "choose", "parse_rules", "plan", "respect"]
