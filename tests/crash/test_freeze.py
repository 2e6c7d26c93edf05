"""A process that stands still with a refused token in its socket, while another one answers for its order."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from kiwoom_async._domain.ambient import Checkpoint
from kiwoom_async.simulator import Fault, FaultKind
from tests.crash.processes import PATIENCE, finished, is_stopped
from tests.crash.test_kill import ask, program_of, started
from tests.crash.trader import TIMING
from tests.scenarios.trading import broker_of, client_of, eventually, orders_received


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(400)
async def test_frozen_sender_with_a_refused_token_does_not_send_after_another_told_the_answer(tmp_path: Path) -> None:
    """Stopped before it reads the refusal, woken after the absence was proven: it tells the same and sends no more."""
    dies = Fault(FaultKind.TOKEN_DIES, api_ids="kt10000")
    async with broker_of(dies) as broker, client_of(broker, tmp_path, timing=TIMING) as client:
        program = program_of(
            broker,
            tmp_path,
            signal_at=Checkpoint.AFTER_WRITE_BEFORE_RESPONSE.value,
            signal_name="SIGSTOP",
            deadline=PATIENCE,
            # The first byte may leave as long as that after the commit; a proof of absence has to wait for its end.
            connect_timeout=5.0,
        )
        async with started(program) as frozen:
            await eventually(lambda: is_stopped(frozen), within=PATIENCE)
            verdict = await ask(client, program)
            assert isinstance(verdict, str)
            assert verdict.startswith("OrderNotAccepted")
            frozen.send_signal(signal.SIGCONT)
            status, answers = await finished(frozen)
        assert status == 0
        assert [f"{line['error']}: {line['text']}" for line in answers] == [verdict]
        assert await ask(client, program) == verdict
        assert len(orders_received(broker)) == 1
        assert broker.orders == ()
