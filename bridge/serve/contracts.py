"""The demo's keys and contracts: drawn and deployed once, found again by every later run.

The treasury is a development account and owns vault and token; the lane has a key of its own,
kept in an encrypted file, and may do nothing but pay batches.
"""

import json
import os
import secrets
from pathlib import Path

from eth_utils.address import to_checksum_address

from bridge.bootstrap import deployments_path, keystore_folder
from bridge.settings import Settings
from chain.deployment import NATIVE, Deployment, Token, load_deployments, save_deployment
from chain.evm.treasury import DEMO_DOLLAR, DEMO_DOLLAR_SCALE, Treasury
from chain.local.accounts import dev_accounts
from chain.network import Network
from chain.rpc import RpcClient
from chain.signers import Eip1559Transaction, EvmSigner, SignedBytes, open_signer

DAY_LIMIT_MINOR = 2_000_000 * 10**DEMO_DOLLAR_SCALE
DAY_LIMIT_WEI = 200 * 10**18
"""What may leave the demo's vault in a day: its whole stock at once, and the same as it drains."""

_TREASURY = "treasury.json"


def password_file(settings: Settings) -> Path:
    """Where the keystores' password lies."""
    return Path(settings.keystore_password_file or keystore_folder(settings) / "password")


def ensure_keys(settings: Settings) -> str:
    """Password, lane key and treasury key, whichever are missing; returns the lane's address.

    Each file appears complete or not at all, so that a kill in between costs nothing.
    Raises :class:`~chain.errors.SignerError`.
    """
    folder = keystore_folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not password_file(settings).exists():
        _write_private(password_file(settings), secrets.token_urlsafe(32))
    if not (folder / _TREASURY).exists():
        key = bytes.fromhex(dev_accounts()[0].private_key[2:])
        _create(settings, _TREASURY, key)
    lanes = sorted(folder.glob("0x*.json"))
    return lanes[0].stem if lanes else _create(settings, None, None)


def open_treasury(settings: Settings, network: Network, rpc: RpcClient) -> Treasury:
    """The owner's hands on ``network``; its key is unlocked by the first signature."""
    return Treasury(network, rpc, _Deferred(settings))


class _Deferred:
    """The treasury's signer. Most runs sign nothing, and unlocking a key takes a second."""

    def __init__(self, settings: Settings) -> None:
        path = keystore_folder(settings) / _TREASURY
        self._where = {"path": str(path), "password_file": str(password_file(settings))}
        self._signer: EvmSigner | None = None
        self.address = str(to_checksum_address(json.loads(path.read_text())["address"]))

    async def sign(self, transaction: Eip1559Transaction) -> SignedBytes:
        if self._signer is None:
            self._signer = open_signer("keystore", self._where)
        return await self._signer.sign(transaction)


async def ensure_contracts(
    settings: Settings, treasury: Treasury, lane: str, url: str
) -> tuple[Deployment, bool]:
    """The demo's deployment on the chain at ``url``, and whether it had to be made.

    What stands already is used again. The file is written when everything in it works, so an
    interrupted deployment leaves contracts that nobody knows and that hold nothing.
    """
    path, name = deployments_path(settings), treasury.network.name
    known = load_deployments(path).get(name)
    is_new = known is None or not await _stands(treasury, known, lane)
    if known is None or is_new:
        token = await treasury.deploy_demo_dollar()
        vault = await treasury.deploy_vault([lane])
        escrow = await treasury.deploy_escrow()
    else:
        token = next(listed.address for listed in known.tokens if listed.address != NATIVE)
        vault, escrow = known.vault, await _escrow(treasury, known)
    await treasury.list_demo_dollar(vault, token, DAY_LIMIT_MINOR)
    await treasury.list_native(vault, DAY_LIMIT_WEI)
    native = treasury.network.native
    tokens = (
        Token(DEMO_DOLLAR, DEMO_DOLLAR_SCALE, token),
        Token(native.code, native.scale, NATIVE),
    )
    deployment = Deployment(name, (url,), vault, tokens, (lane,), escrow=escrow)
    if deployment != known:
        save_deployment(path, deployment)
    return deployment, is_new


async def _escrow(treasury: Treasury, known: Deployment) -> str:
    """Nobody owns it, so what lies at its address is taken for it; if nothing does, a new one."""
    if known.escrow is not None and await treasury.has_code(known.escrow):
        return known.escrow
    return await treasury.deploy_escrow()


async def _stands(treasury: Treasury, deployment: Deployment, lane: str) -> bool:
    """A vault takes a new lane only a day after it was announced: a lost key means a new vault."""
    contracts = deployment.contracts - {NATIVE, deployment.escrow}
    owned = [await treasury.owns(contract) for contract in contracts]
    return all(owned) and await treasury.is_settler(deployment.vault, lane)


def _create(settings: Settings, name: str | None, key: bytes | None) -> str:
    from chain.signers.keystore import create_keystore, read_password  # not in every run

    folder = keystore_folder(settings)
    password = read_password(file=password_file(settings))
    draft = folder / "new.json"
    draft.unlink(missing_ok=True)
    address = create_keystore(draft, password, private_key=key)
    os.replace(draft, folder / (name or f"{address}.json"))
    return address


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
