"""The processes that test deployed rows share one synthesis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.cdk import EVERY, Cdk
from tests.deployed import synthesise_once


class _Finished:
    def finish(self) -> None: ...


def test_the_first_process_synthesises_and_the_others_find_its_assembly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesised: list[str] = []

    @contextmanager
    def synthesise(self: Cdk, id: str) -> Iterator[_Finished]:
        synthesised.append(id)
        self.assembly(id).mkdir(parents=True)
        (self.assembly(id) / "manifest.json").touch()
        yield _Finished()

    monkeypatch.setattr(Cdk, "synthesizing", synthesise)
    first, second = synthesise_once(tmp_path), synthesise_once(tmp_path)
    assert first == second == tmp_path / f"cdk.out-{EVERY}"
    assert synthesised == [EVERY]
