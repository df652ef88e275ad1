"""The policy: which file of a group stays and why, and what may happen to the others.

keep        keep rules: files to the one that is kept, with the reason
"""

from imkin.policy.keep import DEFAULT_RULES, Facts, Rule, choose, parse_rules

__all__ = ["DEFAULT_RULES", "Facts", "Rule", "choose", "parse_rules"]
