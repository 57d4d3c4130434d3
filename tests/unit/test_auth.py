"""Tokens and host names, without sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simvue.server.auth import TRUSTED_S, Hosts, Tokens, digest, new_token
from simvue.server.store import Token, open_store


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TestTokens:
    def test_no_two_tokens_are_alike(self) -> None:
        texts = {new_token("admin", "default", 0.0)[0] for _ in range(100)}
        assert len(texts) == 100

    def test_a_known_token_is_found_until_it_expires(self, tmp_path: Path) -> None:
        store, clock = open_store(str(tmp_path)), Clock()
        try:
            token = Token("me", "us", "write", expires=clock.now + 3 * TRUSTED_S)
            store.add_token(digest("text"), token)
            tokens = Tokens(store, clock)

            async def find(text: str) -> Token | None:
                return await tokens.find(text)

            assert asyncio.run(find("other")) is None
            assert asyncio.run(find("text")) == token
            clock.now += 2 * TRUSTED_S
            assert asyncio.run(find("text")) == token
            clock.now += TRUSTED_S
            assert asyncio.run(find("text")) is None, "to the second"
        finally:
            store.close()

    def test_the_store_is_asked_once_a_minute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, clock = open_store(str(tmp_path)), Clock()
        asked: list[str] = []
        find = store.find_token

        def noted(key: str) -> Token | None:
            asked.append(key)
            return find(key)

        monkeypatch.setattr(store, "find_token", noted)
        tokens = Tokens(store, clock)
        store.add_token(digest("text"), Token("me", "us", "write", expires=2e9))

        async def story() -> list[int]:
            counts = []
            for wait in (0.0, TRUSTED_S, 1.0, TRUSTED_S + 1):
                clock.now += wait
                assert await tokens.find("text")
                counts.append(len(asked))
            return counts

        try:
            assert asyncio.run(story()) == [1, 1, 2, 3]
        finally:
            store.close()

    def test_readers_that_wait_keep_nobody_out(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        tokens = Tokens(store, Clock())
        token = Token("me", "us", "write", expires=2e9)
        store.add_token(digest("text"), token)
        answered = threading.Event()

        async def story() -> Token | None:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            reader = loop.run_in_executor(None, answered.wait, 60)
            try:
                return await asyncio.wait_for(tokens.find("text"), 30)
            finally:
                answered.set()
                await reader

        try:
            assert asyncio.run(story()) == token
        finally:
            tokens.close()
            store.close()

    def test_what_was_asked_before_a_token_was_taken_back_is_not_trusted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(str(tmp_path))
        tokens = Tokens(store, Clock())
        store.add_token(digest("text"), Token("me", "us", "write", expires=2e9, id="T"))
        find = store.find_token

        def overtaken(key: str) -> Token | None:
            found = find(key)
            store.delete_token("T", None)
            tokens.forget()
            return found

        async def story() -> Token | None:
            with monkeypatch.context() as patched:
                patched.setattr(store, "find_token", overtaken)
                await tokens.find("text")
            return await tokens.find("text")

        try:
            assert asyncio.run(story()) is None
        finally:
            store.close()


class TestHosts:
    @pytest.mark.parametrize(
        ("bound", "header", "known"),
        [
            ("127.0.0.1", "localhost", True),
            ("127.0.0.1", "localhost.", True),
            ("127.0.0.1", "localhost:99999", True),
            ("127.0.0.1", "[::1]:80", True),
            ("127.0.0.1", "192.168.0.1", False),
            ("127.0.0.1", "user@localhost", True),
            ("127.0.0.1", "localhost.evil.example", False),
            ("127.0.0.1", "evil.example/localhost", False),
            ("127.0.0.1", "", False),
            ("127.0.0.1", "[", False),
            ("10.0.0.5", "10.0.0.5:7468", True),
            ("10.0.0.5", "10.0.0.6", False),
            ("0.0.0.0", "10.0.0.6:1", True),
            ("0.0.0.0", "[fe80::1]", True),
            ("0.0.0.0", socket.gethostname(), True),
            ("0.0.0.0", "10.0.0.6.nip.example", False),
            ("::", "192.168.0.1", True),
        ],
    )
    def test_which_names_are_ours(self, bound: str, header: str, known: bool) -> None:
        assert Hosts(bound).know(header) is known

    def test_names_that_were_given(self) -> None:
        hosts = Hosts("127.0.0.1", ["Sim.Example"])
        assert hosts.know("sim.example:443")
        assert not hosts.know("other.example")
