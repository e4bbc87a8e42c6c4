"""Who may sign in, how, and as whom a request is answered."""

from workbench.service.accounts.people import (
    CONSOLE,
    LOCAL,
    change_password,
    create_user,
    deactivate,
    local_actor,
    set_display,
    set_password,
    set_quota,
    set_role,
    user_named,
    users,
)
from workbench.service.accounts.signing import (
    Timeouts,
    actor_of,
    authenticate,
    set_reader,
    sign_in,
    sign_out,
    sign_out_everywhere,
)
from workbench.service.accounts.tokens import TokenInfo, actor_of_token, issue_token, revoke_token, tokens

__all__ = [
    "CONSOLE",
    "LOCAL",
    "Timeouts",
    "TokenInfo",
    "actor_of",
    "actor_of_token",
    "authenticate",
    "change_password",
    "create_user",
    "deactivate",
    "issue_token",
    "local_actor",
    "revoke_token",
    "set_display",
    "set_password",
    "set_quota",
    "set_reader",
    "set_role",
    "sign_in",
    "sign_out",
    "sign_out_everywhere",
    "tokens",
    "user_named",
    "users",
]
