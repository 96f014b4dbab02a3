"""Diagnosis: why a run, or a node of it, does not get on, and what to do about it.

    facts (a look at the run, expectations)  ->  rules, in order  ->  findings

Each rule is a small function of what is known of one node (`NodeFacts`), or of the run (`Facts`),
and gives a finding or nothing. A table says which rules concern a node in which state, in which
order; the first that speaks is the one that counts, so the surer a rule is, the earlier it stands.
Nothing here looks at a clock or a file: the same facts give the same diagnosis.
"""

from nbflow.core.diagnosis.diagnosing import diagnose, with_logs
from nbflow.core.diagnosis.facts import Facts, NodeFacts

__all__ = ["Facts", "NodeFacts", "diagnose", "with_logs"]
