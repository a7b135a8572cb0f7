"""Change the file that the edge reads its secrets from, atomically."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final, Self

from messaging.environment import variables_now
from messaging.errors import ConfigurationError

SECRET_BYTES: Final = 32
"""As long as the digest that it keys."""


class SecretsFile:
    """The file of OM_WEBHOOK_SECRETS_FILE: secrets, newest first, separated by commas."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls, path: Path | None) -> Self:
        """Return the file at *path*, or that of OM_WEBHOOK_SECRETS_FILE.

        Raises:
            ConfigurationError: There is none, or the secrets come from elsewhere.
        """
        variables = variables_now()
        if path is None and variables.get("OM_WEBHOOK_SECRETS"):
            raise ConfigurationError(
                "OM_WEBHOOK_SECRETS holds the secrets themselves, which no reload changes: let "
                "OM_WEBHOOK_SECRETS_FILE name a file instead"
            )
        path = path or Path(variables.get("OM_WEBHOOK_SECRETS_FILE", ""))
        if not path.is_file():
            raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE or --file must name the secrets file")
        file = cls(path)
        if not file.read():
            raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE names a file without a secret")
        return file

    def read(self) -> tuple[str, ...]:
        """Return the secrets, newest first."""
        return tuple(part.strip() for part in self.path.read_text("utf-8").split(",") if part.strip())

    def add(self) -> None:
        """Add a new secret before the others; durable when it returns."""
        self._write(secrets.token_urlsafe(SECRET_BYTES), *self.read())

    def keep_newest(self) -> None:
        """Remove all but the newest secret; durable when it returns."""
        self._write(self.read()[0])

    def _write(self, *values: str) -> None:
        """Write beside the file and rename, so that a reader sees either the old or the new content."""
        path = self.path.resolve()
        before = path.stat()
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), before.st_mode & 0o777)
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
                file.write(",".join(values) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise
