"""The folder docker: its programs, and the composition as Docker Compose would read it."""

import importlib.util
import re
import subprocess

import yaml

from tests.support.paths import PROJECT

DOCKER = PROJECT / "docker"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-+])([^}]*))\}")


def output(*words, **options):
    """What a program prints; it has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def script(name):
    """A program of the image as a module."""
    spec = importlib.util.spec_from_file_location(f"image_{name}", DOCKER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example() -> dict[str, str]:
    """Settings of docker/.env.example."""
    lines = (DOCKER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def services(settings: dict[str, str]) -> dict[str, dict]:
    """Services of compose.yaml with their variables filled in from `settings`."""

    def value(match: re.Match) -> str:
        name, kind, other = match.groups()
        given = settings.get(name, "")
        return {"-": given or other, "+": given and other}[kind]

    def filled(part):
        if isinstance(part, dict):
            return {key: filled(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [filled(inner) for inner in part]
        return _VARIABLE.sub(value, part) if isinstance(part, str) else part

    return filled(yaml.safe_load((DOCKER / "compose.yaml").read_text()))["services"]


def variables() -> set[str]:
    """Names of the variables that compose.yaml asks for."""
    return {match[1] for match in _VARIABLE.finditer((DOCKER / "compose.yaml").read_text())}
