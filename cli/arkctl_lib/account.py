"""The limits and circuit breakers of the ARK account, in the form of `governor` in the gateway's overview."""

import math

from arkctl_lib.terminal import clean
from arkctl_lib.units import duration, to_ms, to_timestamp

MODELS_MAX = 32
STATES = ("open", "probing", "half_open")

# Per error code: its meaning for an operator, and advice.
CODES = {
    "ark_unreachable": ("ARK cannot be reached",
                        "on the workers' machine, check ARK_BASE_URL, DNS, proxy and firewall; check the status page of Volcengine"),
    "outcome_unknown": ("calls end with a server error, a timeout or a lost connection",
                        "check ARK and any proxy in front of it; the circuit breaker closes by itself when ARK answers again"),
    "ark_unauthorized": ("ARK rejects the API key or the account",
                         "check ARK_API_KEY and restart the workers; check the account's balance and state in the Volcengine console"),
    "ark_quota_exceeded": ("the quota or spending limit is used up", "raise it in the Volcengine console, or wait until it is reset"),
    "ark_model_unavailable": ("the model is not available to this ARK account",
                              "check the model name, and that the model is activated in the Volcengine console; the default is the workers' ARK_MODEL"),
}
OTHER = ("ARK is not available", "see the workers' log")


def read(fields):
    """Converts the governor's hash in Redis: {"state": ..., "<model> limit": ...}."""
    scopes = {}
    for name, value in fields.items():
        model, _, field = name.rpartition(" ")
        if model in scopes or not model or len(scopes) <= MODELS_MAX:
            scopes.setdefault(model, {})[field] = value
    account = scopes.pop("", {})
    return {
        "breaker": _breaker(account), **{name: _number(account.get(name)) for name in ("tokens", "calls", "limit")},
        "default_model": account.get("default_model"),
        "models": [{"model": model, "limit": _number(scope.get("limit")), "rate": _number(scope.get("rate")),
                    "paused_until_ms": _time(scope.get("paused_until")), "breaker": _breaker(scope)} for model, scope in scopes.items()],
    }


def _breaker(scope):
    state = scope.get("state") if scope.get("state") in STATES else "closed"
    if state == "closed":
        return {"state": state, "code": None, "why": None, "since_ms": None, "probe_at_ms": None}
    return {"state": state, "code": scope.get("code") or "ark_unreachable", "why": scope.get("why") or None, "since_ms": _time(scope.get("since")),
            "probe_at_ms": _time(scope.get("probe_at")) if state == "open" else None}


def _number(text):
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return (int(number) if number.is_integer() else number) if math.isfinite(number) else None


def _time(text):
    number = _number(text)
    return int(number) if number and number > 0 else None


# -- the reasons why tasks wait


def scopes(governor):
    """A list of (model, scope). The account is first; its model is None."""
    return [(None, governor), *((model["model"], model) for model in governor["models"])]


def is_held(scope):
    return scope["breaker"]["state"] != "closed"


def is_paused(scope, now_ms):
    return (scope.get("paused_until_ms") or 0) > now_ms


def waiting_for(governor, now_ms):
    """The `waiting_for` of GET /queue."""
    found = []
    for model, scope in scopes(governor):
        breaker = scope["breaker"]
        if is_held(scope):
            reason = {"code": breaker["code"], "since": breaker["since_ms"] and to_timestamp(breaker["since_ms"])}
        elif is_paused(scope, now_ms):
            reason = {"code": "ark_rate_limited", "until": to_timestamp(scope["paused_until_ms"])}
        else:
            continue
        found.append({name: value for name, value in {**reason, "model": model}.items() if value})
    return found


def meaning(reason):
    """For example: ARK cannot be reached"""
    return "ARK rate limited the calls" if reason.get("until") else CODES.get(reason.get("code"), OTHER)[0]


def describe(reason, now_ms=None):
    """For example: model m: ARK cannot be reached (ark_unreachable), for 5 min 0 s. Without now_ms, the duration is omitted."""
    words = f"{'model ' + reason['model'] if reason.get('model') else 'the account'}: {meaning(reason)} ({reason.get('code')})"
    if now_ms is not None and reason.get("until"):
        words += f", {duration(to_ms(reason['until']) - now_ms)} more"
    elif now_ms is not None and reason.get("since"):
        words += f", for {duration(now_ms - to_ms(reason['since']))}"
    return clean(words)
