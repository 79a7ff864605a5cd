"""One process an account: the lock names its owner, and dies with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from execution.locks import AccountLock, Owner
from venues.errors import LocalRuleError

ROOT = Path(__file__).resolve().parents[3]
OWNER = Owner(pid=os.getpid(), host="here", command="runner play a.yaml", started="2026-01-05T00:00:00.000Z", run="r1")
HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from execution.locks import AccountLock, Owner
lock = AccountLock(Path(sys.argv[2]), venue="okx", place="live", account="key")
lock.take(Owner(pid=77, host="there", command="runner play", started="2026-01-05T00:00:00.000Z", run="elsewhere"))
print("held", flush=True)
sys.stdin.read()
"""


def lock_in(folder: Path, venue: str = "okx", place: str = "live", account: str = "key") -> AccountLock:
    return AccountLock(folder, venue=venue, place=place, account=account)


def test_the_second_is_refused_and_told_who_holds_it(tmp_path):
    """[client] Process, host, run, command and since when; after the first let go, it is free."""
    first, second = lock_in(tmp_path / "locks"), lock_in(tmp_path / "locks")
    first.take(OWNER)
    with pytest.raises(LocalRuleError) as refused:
        second.take(OWNER)
    assert refused.value.code == "ACCOUNT_LOCKED"
    for words in ("okx", "run r1", str(os.getpid()), "here", "runner play a.yaml", "2026-01-05T00:00:00.000Z"):
        assert words in refused.value.hint
    assert second.holder() == str(OWNER)
    first.release()
    first.release()
    assert second.holder() is None
    second.take(OWNER)
    second.release()
    assert list((tmp_path / "locks").iterdir()) == []


def test_an_account_is_a_venue_a_place_and_a_name(tmp_path):
    """[client] Another venue, the test network, a simulator or another key is another account."""
    locks = [
        lock_in(tmp_path), lock_in(tmp_path, venue="binance"), lock_in(tmp_path, place="testnet"),
        lock_in(tmp_path, place="sim http://127.0.0.1:9100"), lock_in(tmp_path, account="other"),
    ]  # fmt: skip
    for lock in locks:
        lock.take(OWNER)
    assert len({lock.path for lock in locks}) == 5
    for lock in locks:
        lock.release()


def test_the_file_is_private_and_tells_no_key(tmp_path):
    """[client] 0600 in a folder of 0700; neither name nor text has anything of the key."""
    lock = lock_in(tmp_path / "locks", account="canary-key-71c2")
    lock.take(OWNER)
    assert lock.path.stat().st_mode & 0o777 == 0o600
    assert lock.path.parent.stat().st_mode & 0o777 == 0o700
    assert "canary" not in lock.path.name + lock.path.read_text()
    lock.release()


def test_a_run_gets_its_name_later(tmp_path):
    """[ours] The lock is taken before there is a run folder; a shorter text leaves nothing of the longer one."""
    lock, other = lock_in(tmp_path), lock_in(tmp_path)
    lock.take(Owner(pid=1, host="here", command="runner play " + "x" * 99, started="now"))
    assert "just beginning" in (other.holder() or "")
    lock.tell(OWNER)
    assert other.holder() == str(OWNER)
    lock.release()
    lock.tell(OWNER)
    assert not lock.path.exists()


@pytest.mark.parametrize("text", [b"", b"not json", b'{"pid": "x"}', b"\xff\xfe"])
def test_a_stale_text_stops_nobody(tmp_path, text):
    """[client] Whatever a dead process left behind: the operating system's lock counts, not the words."""
    lock = lock_in(tmp_path)
    lock.path.write_bytes(text)
    assert lock.holder() is None
    lock.take(OWNER)
    assert lock_in(tmp_path).holder() == str(OWNER)
    lock.release()


def test_a_holder_that_has_not_written_its_name_is_still_a_holder(tmp_path):
    """[ours] The words are missing, the refusal is not."""
    lock = lock_in(tmp_path)
    lock.take(OWNER)
    lock.path.write_text("")
    with pytest.raises(LocalRuleError, match="has not written its name"):
        lock_in(tmp_path).take(OWNER)
    lock.release()


def test_a_lock_whose_file_was_replaced_is_no_lock(tmp_path, monkeypatch):
    """[ours] Opened before the holder let go and removed it: the next look opens the one that is there now."""
    first, second = lock_in(tmp_path), lock_in(tmp_path)
    first.take(OWNER)
    real, opened = os.open, []

    def open_late(path, *how):
        descriptor = real(path, *how)
        if not opened:
            opened.append(descriptor)
            first.release()
        return descriptor

    monkeypatch.setattr(os, "open", open_late)
    second.take(OWNER)
    monkeypatch.undo()
    with pytest.raises(LocalRuleError):
        first.take(OWNER)
    second.release()


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path):
    """[ours] No lock, no run: the file is named, and the setting that moves it."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LocalRuleError) as refused:
        lock_in(tmp_path / "taken" / "locks").take(OWNER)
    assert refused.value.code == "ACCOUNT_LOCKED"
    assert "locks_dir" in refused.value.hint


def test_a_link_in_its_place_is_not_followed(tmp_path):
    """[ours] Nobody has us write into another file."""
    lock = lock_in(tmp_path)
    (tmp_path / "target").write_text("precious")
    lock.path.symlink_to(tmp_path / "target")
    with pytest.raises(LocalRuleError):
        lock.take(OWNER)
    assert (tmp_path / "target").read_text() == "precious"


def test_kill_9_frees_it(tmp_path):
    """[client] Another process holds it, is killed, and leaves its words behind; the account is free at once."""
    words = [sys.executable, "-c", HOLD, str(ROOT), str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        lock = lock_in(tmp_path)
        with pytest.raises(LocalRuleError, match=r"run elsewhere \(process 77 on there"):
            lock.take(OWNER)
        process.kill()
        process.wait(30)
    assert "elsewhere" in lock.path.read_text()
    assert lock.holder() is None
    lock.take(OWNER)
    lock.release()
