"""The data folder: where each part keeps what must survive a restart, and the demo's secrets."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from settlement.errors import TidegateError


class FolderProblem(TidegateError):
    """The data folder cannot be used; the message says what to do."""

    code = "data_folder"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths below ``root``; nothing is created by naming it."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def chain(self) -> Path:
        return self.root / "chain"

    @property
    def stripe_state(self) -> Path:
        return self.root / "stripe" / "state.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "serve.lock"

    @property
    def secrets(self) -> Path:
        return self.root / "demo.json"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def port_file(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.port"

    def create(self) -> None:
        """Raises :class:`FolderProblem` when we may not write there."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.stripe_state.parent, self.log("").parent):
                folder.mkdir(exist_ok=True)
            probe = self.root / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise FolderProblem(
                f"cannot write in the data folder {self.root}: {error.strerror}; "
                "choose another with --data-folder or TIDEGATE_STATE_DIR"
            ) from error


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """Test keys of this folder, drawn once. They open the demo tenant and the local emulator.

    ``webhook_*``: the endpoint registered at the emulator, whose secret is told only once.
    """

    secret_key: str
    publishable_key: str
    stripe_key: str
    stripe_publishable_key: str
    api_url: str = ""
    stripe_base: str = ""
    webhook_id: str = ""
    webhook_secret: str = ""

    def __repr__(self) -> str:
        return "<DemoSecrets>"


def load_secrets(folder: DataFolder) -> DemoSecrets | None:
    """Raises :class:`FolderProblem` for a file that is not ours."""
    try:
        content: dict[str, Any] = json.loads(folder.secrets.read_text())
        return DemoSecrets(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise FolderProblem(
            f"{folder.secrets} cannot be read ({type(error).__name__}); move it away to draw "
            "new demo keys"
        ) from None


def load_or_draw_secrets(folder: DataFolder) -> DemoSecrets:
    """The folder's secrets; stored before anybody uses them."""
    found = load_secrets(folder)
    if found is not None:
        return found
    drawn = DemoSecrets(
        secret_key=f"tg_sk_test_{secrets.token_urlsafe(32)}",
        publishable_key=f"tg_pk_test_{secrets.token_urlsafe(32)}",
        stripe_key=f"sk_test_{secrets.token_hex(16)}",
        stripe_publishable_key=f"pk_test_{secrets.token_hex(16)}",
    )
    save_secrets(folder, drawn)
    return drawn


def save_secrets(folder: DataFolder, content: DemoSecrets, **changes: str) -> DemoSecrets:
    """Replace the file in one step, readable by its owner alone; returns what it now holds."""
    content = replace(content, **changes)
    draft = folder.secrets.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(content), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, folder.secrets)
    return content
