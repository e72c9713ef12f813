"""Where packages come from: what pip is configured with holds for uv too, unless uv is told otherwise."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

# uv's names for a setting: the one that we set, and those that say the same
_SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "cert": ("SSL_CERT_FILE",),
}


def uv_environment(
    environment: Mapping[str, str], pip: Mapping[str, str], *, system_certificates: bool
) -> dict[str, str]:
    """The environment in which uv finds the packages that pip would find. `pip` is pip's configuration."""
    result = dict(environment)
    # these would send the packages to another environment than the one that we name
    for name in ("UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_PROJECT", "UV_WORKING_DIR", "VIRTUAL_ENV"):
        result.pop(name, None)
    result["UV_PYTHON_DOWNLOADS"] = "never"
    for setting, names in _SETTINGS.items():
        value = environment.get("PIP_" + setting.upper().replace("-", "_")) or pip.get(setting)
        if not value or any(name in environment for name in names):
            continue
        result[names[0]] = (",".join if setting == "find-links" else " ".join)(value.split())
        if setting == "extra-index-url":
            # pip takes the best of all indexes, uv that of the first that knows the package
            result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if system_certificates and "SSL_CERT_FILE" not in result:
        for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):  # the second is what older ones call it
            result.setdefault(name, "1")
    return result


def current_uv_environment() -> dict[str, str]:
    """The same, of this process and this machine."""
    paths = ssl.get_default_verify_paths()
    system = sys.platform == "darwin" or (paths.openssl_cafile is not None and Path(paths.openssl_cafile).is_file())
    return uv_environment(os.environ, read_pip_configuration(pip_files(os.environ)), system_certificates=system)


def pip_files(environment: Mapping[str, str]) -> list[Path]:
    """The files of pip's configuration, whether they exist or not; later ones win."""
    home = Path(environment.get("HOME", "~")).expanduser()
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    if sys.platform == "darwin":
        files = [Path("/Library/Application Support/pip/pip.conf")]
    else:
        files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", config / "pip" / "pip.conf", Path(sys.prefix, "pip.conf")]
    if named := environment.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    return files


def read_pip_configuration(files: Iterable[Path]) -> dict[str, str]:
    """The settings for `pip install` in these files. One that cannot be read counts as empty, as pip has said so."""
    values: dict[str, str] = {}
    for file in files:
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (ConfigError, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                values |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    return values
