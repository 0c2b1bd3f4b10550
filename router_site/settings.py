"""Every setting, in one file. What a deployment fixes comes from the environment; what a person changes
while Patchbay runs (backends, accounts, routes, keys) lives in the admin.

Sources, weakest first: the defaults here, `.env` in the project or in PATCHBAY_HOME, the environment,
and the flags of `runproxy`, which set the environment before this file is read. `docs/settings.md` lists them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from datetime import tzinfo
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from backends.addresses import BadBaseUrl, check_base_url
from backends.local_time import machine_zone, zone_of
from router_site.home import HomeError, ensure_home, read_or_create_secret
from router_site.workers import is_first

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = (
    re.search(r"^## v?(\d+\.\d+\.\d+)", (BASE_DIR / "CHANGELOG.md").read_text(), re.M) or ["", "0.0.0"]
)[1]

env = environ.Env()


# --- readers: each fails loudly, naming the setting and what it takes ---------------------------------


def read_int(name: str, default: int, *, low: int, high: int) -> int:
    """An integer setting between `low` and `high`, both included."""
    text = env.str(name, default=str(default)).strip()
    if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
        raise ImproperlyConfigured(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return int(text)


def read_optional_int(name: str, *, low: int, high: int) -> int | None:
    """The same, or None when it is unset."""
    return read_int(name, low, low=low, high=high) if env.str(name, default="").strip() else None


def read_redis_url(name: str) -> str:
    """`redis://[:password@]host[:port][/database]`, `rediss://` or `unix://`; empty when unset."""
    url: str = env.str(name, default="").strip()
    if url and not re.match(r"(rediss?|unix)://.+", url):
        raise ImproperlyConfigured(f"{name} must begin with redis://, rediss:// or unix://.")
    return url


def read_time_zone(name: str) -> tzinfo:
    """The zone of routing conditions on the time of day: an IANA name; unset: the machine's own."""
    named = env.str(name, default="").strip()
    try:
        return zone_of(named) if named else machine_zone()
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name}: {exc}.") from exc


def read_bool(name: str, default: bool) -> bool:
    """An on/off setting."""
    text = env.str(name, default="on" if default else "off").strip().lower()
    if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(f"{name} must be on or off, not {text!r}.")
    return text in {"1", "true", "yes", "on"}


def read_choice(name: str, words: tuple[str, ...]) -> str:
    """One of a few words; the first is the default."""
    word: str = env.str(name, default=words[0]).strip().lower()
    if word not in words:
        raise ImproperlyConfigured(f"{name} must be {' or '.join(words)}, not {word!r}.")
    return word


def read_url(name: str) -> str:
    """An address to call, from NAME or from the file in NAME_FILE, since it may hold a secret; empty when unset."""
    url = read_optional_secret(name) or ""
    try:
        if url:
            check_base_url(url.partition("?")[0])
    except BadBaseUrl as exc:
        raise ImproperlyConfigured(f"{name}: {exc}") from exc
    return url


def read_list(name: str) -> list[str]:
    """A comma-separated setting."""
    return [item.strip() for item in env.str(name, default="").split(",") if item.strip()]


def read_optional_secret(name: str) -> str | None:
    """A secret that may be unset, from NAME or from the file in NAME_FILE; set but empty is refused."""
    if path := env.str(f"{name}_FILE", default=""):
        try:
            value = Path(path).read_text().strip()
        except OSError as exc:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {path} ({exc.strerror}).") from exc
    elif name not in os.environ:  # not through environ, which takes an empty value for an absent one
        return None
    else:
        value = os.environ[name].strip()
    if not value:
        raise ImproperlyConfigured(f"{name} is set but empty. Give it a value, or unset it.")
    return value


TIMEOUT_DEFAULTS = {"connect": 5.0, "first_byte": 120.0, "first_byte_plain": 600.0, "idle": 300.0}


def read_timeouts(name: str) -> dict[str, float]:
    """`connect=5,first_byte=120,first_byte_plain=600,idle=300`: seconds, any subset."""
    timeouts = dict(TIMEOUT_DEFAULTS)
    for item in read_list(name):
        key, _, value = (part.strip() for part in item.partition("="))
        if key not in timeouts or not re.fullmatch(r"\d{1,5}(\.\d+)?", value) or float(value) <= 0:
            known = ", ".join(TIMEOUT_DEFAULTS)
            raise ImproperlyConfigured(f"{name}: {item!r} is not NAME=SECONDS with a name of: {known}.")
        timeouts[key] = float(value)
    return timeouts


OAUTH_SETTING = re.compile(
    r"PATCHBAY_OAUTH_(?P<backend>[A-Z0-9_]+)_(?P<field>ISSUER|CLIENT_ID|AUTHORIZE_URL|TOKEN_URL|SCOPES)"
)


def read_oauth() -> dict[str, dict[str, str]]:
    """`PATCHBAY_OAUTH_<BACKEND>_<FIELD>` by backend name as written there: `{"OPENAI": {"client_id": …}}`."""
    providers: dict[str, dict[str, str]] = {}
    for name in sorted(os.environ):
        value = os.environ[name].strip()
        if not name.startswith("PATCHBAY_OAUTH_") or not value:
            continue
        match = OAUTH_SETTING.fullmatch(name)
        if match is None:
            ends = "_ISSUER, _CLIENT_ID, _AUTHORIZE_URL, _TOKEN_URL or _SCOPES"
            raise ImproperlyConfigured(f"{name} is not known: write PATCHBAY_OAUTH_<BACKEND> and {ends}.")
        if match["field"] not in ("CLIENT_ID", "SCOPES"):
            try:
                check_base_url(value)
            except BadBaseUrl as exc:
                raise ImproperlyConfigured(f"{name}: {exc}") from exc
        providers.setdefault(match["backend"], {})[match["field"].lower()] = value
    return providers


def derive(secret: str, label: str) -> bytes:
    """32 bytes for one purpose from a master secret (HMAC-SHA-256 as a key-derivation function)."""
    return hmac.new(secret.encode(), f"patchbay:{label}".encode(), hashlib.sha256).digest()


# --- home and secrets ---------------------------------------------------------------------------------

environ.Env.read_env(str(BASE_DIR / ".env"), overwrite=False) if (BASE_DIR / ".env").is_file() else None
PATCHBAY_HOME = Path(env.str("PATCHBAY_HOME", default="~/.patchbay")).expanduser().absolute()
try:
    ensure_home(PATCHBAY_HOME)
    if (PATCHBAY_HOME / ".env").is_file():
        environ.Env.read_env(str(PATCHBAY_HOME / ".env"), overwrite=False)
    _given = read_optional_secret("PATCHBAY_SECRET_KEY")
    MASTER_SECRETS = re.split(r"[,\s]+", _given) if _given else read_or_create_secret(PATCHBAY_HOME)
except HomeError as exc:
    raise ImproperlyConfigured(str(exc)) from exc

SECRET_KEY = derive(MASTER_SECRETS[0], "django").hex()
SECRET_KEY_FALLBACKS = [derive(secret, "django").hex() for secret in MASTER_SECRETS[1:]]
PATCHBAY_DATA_KEYS = [base64.urlsafe_b64encode(derive(secret, "data")) for secret in MASTER_SECRETS]
PATCHBAY_REDACTION_KEY = derive(MASTER_SECRETS[0], "redaction")
PATCHBAY_KEY_PEPPERS = [derive(secret, "client-keys") for secret in MASTER_SECRETS]

# --- Patchbay -----------------------------------------------------------------------------------------

PATCHBAY_HOST = env.str("PATCHBAY_HOST", default="127.0.0.1").strip()
PATCHBAY_PORT = read_int("PATCHBAY_PORT", 3456, low=1, high=65535)
PATCHBAY_API_KEY = read_optional_secret("PATCHBAY_API_KEY")
PATCHBAY_CORS_ORIGIN = read_list("PATCHBAY_CORS_ORIGIN")
PATCHBAY_ALLOWED_HOSTS = read_list("PATCHBAY_ALLOWED_HOSTS")
PATCHBAY_MAX_BODY_MB = read_int("PATCHBAY_MAX_BODY_MB", 32, low=1, high=1024)
PATCHBAY_DRAIN_SECONDS = read_int("PATCHBAY_DRAIN_SECONDS", 60, low=0, high=86_400)
PATCHBAY_UPSTREAM_TIMEOUTS = read_timeouts("PATCHBAY_UPSTREAM_TIMEOUTS")
PATCHBAY_MIN_INTERVAL_MS = read_optional_int("PATCHBAY_MIN_INTERVAL_MS", low=0, high=600_000)
PATCHBAY_QUEUE_SECONDS = read_int("PATCHBAY_QUEUE_SECONDS", 60, low=0, high=3600)
PATCHBAY_QUEUE_MAX = read_int("PATCHBAY_QUEUE_MAX", 128, low=0, high=100_000)
PATCHBAY_WORKERS = read_int("PATCHBAY_WORKERS", 1, low=1, high=64)
# What one process does for all: notices, samples, pruning. See router_site/workers.py.
PATCHBAY_IS_FIRST = is_first()
PATCHBAY_TIME_ZONE = read_time_zone("PATCHBAY_TIME_ZONE")
REDIS_URL = read_redis_url("REDIS_URL")
# History. Bodies are kept for the backends and client keys that ask for it, or for all.
PATCHBAY_LOG_BODIES = read_bool("PATCHBAY_LOG_BODIES", default=False)
PATCHBAY_BODY_BUDGET_MB = read_int("PATCHBAY_BODY_BUDGET_MB", 512, low=1, high=10_000_000)
PATCHBAY_HISTORY_DAYS = read_int("PATCHBAY_HISTORY_DAYS", 90, low=1, high=36_500)
PATCHBAY_HISTORY_MB = read_int("PATCHBAY_HISTORY_MB", 4096, low=16, high=10_000_000)
PATCHBAY_CUT_USAGE = read_choice("PATCHBAY_CUT_USAGE", ("estimate", "measured"))
# OpenTelemetry's SDK reads these itself, with its other settings; here they say whether it is wanted.
OTEL_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="") or env.str(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", default=""
)
PATCHBAY_NOTIFY_URL = read_url("PATCHBAY_NOTIFY_URL")
PATCHBAY_NOTIFY_DESKTOP = read_bool("PATCHBAY_NOTIFY_DESKTOP", default=False)
PATCHBAY_NOTIFY_HEADROOM = read_int("PATCHBAY_NOTIFY_HEADROOM", 10, low=0, high=100)
PATCHBAY_NOTIFY_BUDGET = read_int("PATCHBAY_NOTIFY_BUDGET", 80, low=1, high=100)
PATCHBAY_OAUTH = read_oauth()
# Set by the flags of `runproxy`.
PATCHBAY_FORCE_MODEL = env.str("PATCHBAY_FORCE_MODEL", default="").strip()
PATCHBAY_PASSTHROUGH = read_bool("PATCHBAY_PASSTHROUGH", default=False)
PATCHBAY_DEMO = read_bool("PATCHBAY_DEMO", default=False)
PATCHBAY_VERBOSE = read_bool("PATCHBAY_VERBOSE", default=False)
PATCHBAY_PRESERVE_TOOLS = read_bool("PATCHBAY_PRESERVE_TOOLS", default=False)

# --- Django -------------------------------------------------------------------------------------------

DEBUG = False  # a page of settings and locals is never worth it beside stored keys
ALLOWED_HOSTS = ["*"]  # the gate has already refused every foreign Host, for HTTP and WebSocket alike
ROOT_URLCONF = "router_site.urls"
ASGI_APPLICATION = "router_site.asgi.application"
INSTALLED_APPS = [
    "router_site",
    "proxyapp",
    "analytics",
    "accounts",
    "backends",
    "router_site.admin_site.Config",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
]
# For the admin only: the proxy endpoints run in their own handler, without middleware.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "router_site.middleware.PageHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

# --- databases: configuration and history apart, so that neither can block or fill the other -----------


def sqlite_database(path: Path, *, synchronous: str) -> dict[str, Any]:
    """A SQLite file in WAL mode whose transactions take the write lock at once (no 'database is locked')."""
    pragmas = (
        f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA foreign_keys=ON;"
        " PRAGMA journal_size_limit=67108864"
    )
    options = {"transaction_mode": "IMMEDIATE", "timeout": 5, "init_command": pragmas}
    test = {
        "NAME": str(path.with_name(f"test-{path.name}"))
    }  # a file: tests run with the locking of production
    return {"ENGINE": "router_site.sqlite3", "NAME": str(path), "OPTIONS": options, "TEST": test}


def read_database(name: str, path: Path, *, synchronous: str) -> dict[str, Any]:
    """DATABASE_URL-style setting, or the SQLite file. Every SQLite file gets the same options."""
    if not env.str(name, default=""):
        return sqlite_database(path, synchronous=synchronous)
    database = dict(env.db_url(name))
    if database["ENGINE"].endswith("sqlite3"):
        return sqlite_database(Path(database["NAME"]), synchronous=synchronous)
    if database["ENGINE"].endswith("postgresql"):
        database["ENGINE"] = "router_site.postgres"
    return database


DATABASES = {
    "default": read_database("DATABASE_URL", PATCHBAY_HOME / "config.sqlite3", synchronous="FULL"),
    "history": read_database("HISTORY_DATABASE_URL", PATCHBAY_HOME / "history.sqlite3", synchronous="NORMAL"),
}
DATABASE_ROUTERS = ["router_site.databases.HistoryRouter"]

# --- sessions, cookies, headers: for the admin ---------------------------------------------------------

SESSION_COOKIE_NAME = "patchbay_session"  # cookies are shared by all ports of a host: names of our own
CSRF_COOKIE_NAME = "patchbay_csrf"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
LOGIN_URL = "admin:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

# --- logging: one handler, redacted after formatting ----------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"redacted": {"()": "router_site.log.RedactingFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "redacted"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "patchbay": {"level": "DEBUG" if PATCHBAY_VERBOSE else "INFO"},
        "daphne": {"level": "WARNING"},
        "twisted": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
    },
}
