"""Which version of a model is served: how another takes its place, and the way back.

    ledger    models/<name>/RELEASES, who changed what when, and the lock
    verdict   models/<name>/<version>/gate.json, whether a candidate may be served
    rollout   models/<name>/ROLLOUT, a candidate on a share of the live traffic
    rules     what it may do worse, and when a rule is broken
    release   promotion, rollouts, roll back, pruning
    traffic   the rollouts of a worker: `candidate` has its requests, `comparison` its answers, `tally` the counts
    archive   the served models in one file with hashes: write it, fetch it
    command   `python -m service release`
    remote    a models folder elsewhere, by its address
    transfer  versions to there and from there
    pulling   `python -m service pull`

`CURRENT` alone says what is served. The ledger tells how that came about.
"""

from service.release.ledger import Entry, ReleaseError
from service.release.release import Release, tried, whoever

__all__ = ["Entry", "Release", "ReleaseError", "tried", "whoever"]
