"""A key in an encrypted file (Web3 Secret Storage, version 3), unlocked once at the start.

Fit for a demonstration, and for a hot wallet that holds no more than it may lose. The key leaves
this module in no form: not by ``repr``, not by pickling, not inside an error.

Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage
"""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from chain.errors import SignerError
from chain.signers import Eip1559Transaction, SignedBytes

# geth's "light" scrypt is n = 2**12, its standard 2**18 (256 MB, half a second and more). The
# password here is a machine's: long and random, so the file need not also survive a weak one.
SCRYPT_N_DEFAULT = 2**14
_SCRYPT_N_MIN = 2**12


class KeystoreSigner:
    """Signs with the key of one keystore file."""

    __slots__ = ("_account",)

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"<KeystoreSigner {self.address}>"

    def __reduce__(self) -> NoReturn:
        raise SignerError("a signer does not leave its process")

    @property
    def address(self) -> str:
        return str(self._account.address)

    async def sign(self, transaction: Eip1559Transaction) -> SignedBytes:
        """Sign; raises :class:`~chain.errors.SignerError` for a transaction that makes no sense."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "value": transaction.value_wei,
            "data": transaction.data,
            "gas": transaction.gas_limit,
            "maxFeePerGas": transaction.max_fee_wei,
            "maxPriorityFeePerGas": transaction.priority_fee_wei,
        }
        if transaction.to is not None:
            fields["to"] = transaction.to
        try:
            signed = self._account.sign_transaction(fields)
        except Exception as problem:  # unrelated types of three libraries; none may show the key
            raise SignerError(f"cannot sign as {self.address}: {type(problem).__name__}") from None
        return SignedBytes(bytes(signed.raw_transaction), signed.hash.to_0x_hex())


def open_signer(settings: Mapping[str, str]) -> KeystoreSigner:
    """``path`` of the file, and ``password_file`` or ``password_env``."""
    if "path" not in settings:
        raise SignerError("the keystore signer needs the path of its file")
    password = read_password(
        file=Path(settings["password_file"]) if "password_file" in settings else None,
        env=settings.get("password_env"),
    )
    return load_keystore(Path(settings["path"]), password)


def create_keystore(
    path: Path,
    password: str,
    *,
    private_key: bytes | None = None,
    scrypt_n: int = SCRYPT_N_DEFAULT,
) -> str:
    """Write a new keystore (mode 0600) and return its address; never overwrites a file.

    ``private_key`` imports 32 bytes; without it a fresh key is drawn. ``scrypt_n`` is a power of
    two: each doubling doubles memory and time of unlocking.
    """
    if not password:
        raise SignerError("a keystore needs a password")
    if scrypt_n < _SCRYPT_N_MIN or scrypt_n & (scrypt_n - 1):
        raise SignerError(f"scrypt's n must be a power of two of at least {_SCRYPT_N_MIN}")
    key = private_key if private_key is not None else _fresh_key()
    account = _account(key)
    content = create_keyfile_json(key, password.encode(), kdf="scrypt", iterations=scrypt_n)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_once(path, json.dumps(content))
    return str(account.address)


def load_keystore(path: Path, password: str) -> KeystoreSigner:
    """Unlock the file. Raises :class:`~chain.errors.SignerError` when it cannot be."""
    _refuse_if_open_to_others(path)
    try:
        content = json.loads(path.read_text())
        key = decode_keyfile_json(content, password.encode())
    except (AttributeError, KeyError, TypeError, NotImplementedError, json.JSONDecodeError):
        raise SignerError(f"{path} is no keystore that can be read") from None
    except ValueError:
        raise SignerError(f"the password does not open {path}") from None
    account = _account(key)
    _check_address(path, str(content.get("address", "")), str(account.address))
    return KeystoreSigner(account)


def read_password(*, file: Path | None = None, env: str | None = None) -> str:
    """The password from a file that only its owner may read, or from an environment variable.

    A trailing line end is no part of it. Raises :class:`~chain.errors.SignerError`.
    """
    if (file is None) == (env is None):
        raise SignerError("name either a password file or an environment variable")
    if file is not None:
        _refuse_if_open_to_others(file)
        password = file.read_text().rstrip("\r\n")
    else:
        password = os.environ.get(str(env), "")
    if not password:
        raise SignerError(f"no password in {file or f'the environment variable {env}'}")
    return password


def _fresh_key() -> bytes:
    return bytes(Account.create(secrets.token_hex(32)).key)


def _account(key: bytes) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(key)
    except Exception:  # whatever it was, its text may hold the key
        raise SignerError("not a private key of 32 bytes in range") from None
    return account


def _check_address(path: Path, stated: str, actual: str) -> None:
    if stated and stated.lower().removeprefix("0x") != actual.lower().removeprefix("0x"):
        raise SignerError(f"{path} states another address than its key has")


def _refuse_if_open_to_others(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as problem:
        raise SignerError(f"cannot read {path}: {problem.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SignerError(f"{path} can be read by others; run: chmod 600 {path}")


def _write_once(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SignerError(f"{path} exists; a key is never overwritten") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
