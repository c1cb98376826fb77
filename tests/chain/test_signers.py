"""The keystore signer: what it refuses to open or show, and that what it signs is accepted."""

import json
import pickle
import traceback
from pathlib import Path

import pytest
from eth_account import Account

from chain.errors import SignerError
from chain.signers import Eip1559Transaction, open_signer
from chain.signers.keystore import create_keystore, load_keystore, read_password
from tests.chain.world import World, fresh_address

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
PASSWORD = "correct horse battery staple"
N_FAST = 2**12


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "lane.json"
    create_keystore(path, PASSWORD, private_key=KEY, scrypt_n=N_FAST)
    return path


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_wrong_password_opens_nothing_and_tells_nothing(keystore: Path) -> None:
    """The refusal names the file, never key or password."""
    with pytest.raises(SignerError) as caught:
        load_keystore(keystore, PASSWORD[::-1])
    assert str(keystore) in str(caught.value)
    assert PASSWORD[::-1] not in shown(caught.value)


def test_a_file_that_others_can_read_is_refused(keystore: Path) -> None:
    """Both the keystore and the password file must belong to their owner alone."""
    keystore.chmod(0o644)
    with pytest.raises(SignerError, match="chmod 600"):
        load_keystore(keystore, PASSWORD)
    secret = keystore.with_name("password")
    secret.write_text(PASSWORD)
    secret.chmod(0o640)
    with pytest.raises(SignerError, match="chmod 600"):
        read_password(file=secret)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 3}', "no json"])
def test_a_file_that_is_no_keystore_is_refused(tmp_path: Path, content: str) -> None:
    """Half-written and foreign files are named as such."""
    path = tmp_path / "k.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SignerError):
        load_keystore(path, PASSWORD)


def test_a_missing_file_or_password_is_refused(tmp_path: Path) -> None:
    """Nothing falls back to an empty password or a fresh key."""
    with pytest.raises(SignerError, match="cannot read"):
        load_keystore(tmp_path / "none.json", PASSWORD)
    with pytest.raises(SignerError, match="no password"):
        read_password(env="TIDEGATE_TEST_NEVER_SET")
    with pytest.raises(SignerError, match="either"):
        read_password()
    with pytest.raises(SignerError, match="needs a password"):
        create_keystore(tmp_path / "k.json", "")


def test_a_keystore_is_never_overwritten(keystore: Path) -> None:
    """The funds of the old key would be gone."""
    before = keystore.read_bytes()
    with pytest.raises(SignerError, match="never overwritten"):
        create_keystore(keystore, PASSWORD, scrypt_n=N_FAST)
    assert keystore.read_bytes() == before


def test_a_keystore_whose_address_was_changed_is_refused(keystore: Path) -> None:
    """Funding the stated address would fund somebody else."""
    content = json.loads(keystore.read_text())
    content["address"] = "00" * 20
    keystore.write_text(json.dumps(content))
    with pytest.raises(SignerError, match="another address"):
        load_keystore(keystore, PASSWORD)


@pytest.mark.parametrize("key", [b"", b"\x00" * 32, b"\xff" * 32, b"\x01" * 31])
def test_a_key_out_of_range_is_refused_without_being_shown(tmp_path: Path, key: bytes) -> None:
    """Not even a wrong key belongs into a log."""
    with pytest.raises(SignerError) as caught:
        create_keystore(tmp_path / "k.json", PASSWORD, private_key=key, scrypt_n=N_FAST)
    assert not key or key.hex() not in shown(caught.value)


def test_a_weak_scrypt_is_refused(tmp_path: Path) -> None:
    """Small or odd work factors are a mistake, not a choice."""
    for scrypt_n in (0, 1024, 5000):
        with pytest.raises(SignerError, match="scrypt"):
            create_keystore(tmp_path / "k.json", PASSWORD, scrypt_n=scrypt_n)


def test_an_unknown_kind_of_signer_is_refused() -> None:
    """The message says which kinds there are."""
    with pytest.raises(SignerError, match="keystore"):
        open_signer("paper", {})


async def test_a_signer_shows_its_address_and_never_its_key(keystore: Path) -> None:
    """repr, pickling and the error of a senseless transaction give nothing away."""
    signer = load_keystore(keystore, PASSWORD)
    assert repr(signer) == f"<KeystoreSigner {ADDRESS}>"
    with pytest.raises(SignerError):
        pickle.dumps(signer)
    senseless = Eip1559Transaction(31337, -1, ADDRESS, 0, b"", 21_000, 1, 1)
    with pytest.raises(SignerError) as caught:
        await signer.sign(senseless)
    assert KEY.hex() not in shown(caught.value)
    assert not any(KEY.hex() in str(value) for value in vars(type(signer)).values())


async def test_the_registry_opens_a_keystore_and_signs_what_its_address_recovers(
    keystore: Path, tmp_path: Path
) -> None:
    """Password from a file, trailing newline or not; the signature is the account's."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    signer = open_signer("keystore", {"path": str(keystore), "password_file": str(secret)})
    signed = await signer.sign(Eip1559Transaction(31337, 0, ADDRESS, 1, b"", 21_000, 10, 1))
    assert signed.raw[0] == 2
    assert Account.recover_transaction(signed.raw) == signer.address == ADDRESS


def test_a_new_keystore_is_private_and_standard(tmp_path: Path) -> None:
    """Mode 0600, version 3, scrypt with the given n; other wallets can open it."""
    path = tmp_path / "new.json"
    address = create_keystore(path, PASSWORD, scrypt_n=N_FAST)
    assert path.stat().st_mode & 0o777 == 0o600
    content = json.loads(path.read_text())
    assert (content["version"], content["crypto"]["kdfparams"]["n"]) == (3, N_FAST)
    assert Account.from_key(Account.decrypt(content, PASSWORD)).address == address


async def test_the_chain_accepts_what_the_keystore_signs(world: World, tmp_path: Path) -> None:
    """End to end: a fresh key, funded, pays a stranger."""
    path = tmp_path / "lane.json"
    address = create_keystore(path, PASSWORD, scrypt_n=N_FAST)
    world.send(world.owner, address, "0x", value=10**18)
    signer, stranger = load_keystore(path, PASSWORD), fresh_address()
    signed = await signer.sign(
        Eip1559Transaction(31337, 0, stranger, 5, b"", 21_000, 10 * 10**9, 10**9)
    )
    assert world.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex()) == signed.hash
    world.wait_for_receipt(signed.hash)
    assert int(world.rpc("eth_getBalance", stranger, "latest"), 16) == 5
