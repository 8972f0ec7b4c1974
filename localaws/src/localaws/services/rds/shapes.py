"""Resource ids as long as those of RDS: `db-`, `cluster-` and `prx-`, as in ARNs of database users.

Faithful to: 26 capital letters and digits in the id of an instance or cluster; 12 characters in the names of
endpoints that are not at an address of a real server (see `rds.instances`).
Not to: how AWS makes them.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Overview.Endpoints.html
"""

from __future__ import annotations

from ministack.services import rds

from localaws.identifiers import BASE32, LOWER_CASE, cut_text
from localaws.patching import replaces


@replaces(rds, "new_uuid")
def _new_uuid() -> str:
    return cut_text({20: (BASE32, 26), 8: (LOWER_CASE, 12)})
