"""Saves checkpoints, in the way of the training or beside it, one at a time."""

import logging
import threading
import time
from pathlib import Path

from tzx.runtime.errors import TzxError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import state
from tzx.runtime.training.best import spared
from tzx.runtime.training.ranks import Ranks
from tzx.runtime.training.session import Session
from tzx.runtime.training.staging import Staging

logger = logging.getLogger("tzx")


class Saver:
    """Writes the checkpoints of a session; all ranks make one and call it together.

    With `train_config.save_checkpoints_async` a save copies what it writes and goes on in a thread with a channel of
    its own between ranks. Its failure comes out of the next call of `save` or `finish`; the session's requests say so.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._staging = Staging() if session.config.train_config.save_checkpoints_async else None
        self._ranks = Ranks.apart()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(self, wait: bool = False) -> Path:
        """Write checkpoint `model.ckpt-<step>` unless it is there already.

        Args:
            wait: have it committed on return, whatever the config says.

        Raises:
            StorageError: this save, or the one before it, could not be written.
        """
        session = self._session
        self.finish()
        path = session.model_dir / f"model.ckpt-{session.step}"
        if session.saved == path:  # written again it would be missing for a while
            return path
        snapshot = state.snapshot(session)
        if self._staging is None or wait:
            self._write(snapshot)
        else:
            copied = self._staging.copy(snapshot)
            self._thread = threading.Thread(target=self._write_beside, args=(copied,), name="tzx-save", daemon=True)
            self._thread.start()
        session.saved = path
        return path

    def finish(self) -> None:
        """Wait until the save under way is committed; raises its failure."""
        self.close()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def close(self) -> None:
        """Wait for the save under way, however it ends."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write_beside(self, snapshot: ckpt.Snapshot) -> None:
        try:
            self._write(snapshot)
        except BaseException as error:
            self._failure = error
            self._session.requests.failed = True
            if isinstance(error, TzxError):
                logger.error("saving %s failed: %s", snapshot.path, error)

    def _write(self, snapshot: ckpt.Snapshot) -> None:
        began, config = time.perf_counter(), self._session.config
        self._ranks.chief_does(self._check_lock)
        ckpt.commit(snapshot, self._ranks)
        if self._ranks.is_chief:
            beside = "" if self._staging is None else " beside the training"
            logger.info("saved %s in %.1f s%s", snapshot.path, time.perf_counter() - began, beside)
            model_dir, keep = snapshot.path.parent, config.train_config.keep_checkpoint_max
            ckpt.prune(model_dir, keep, [snapshot.path, *spared(model_dir, config.export_config)])

    def _check_lock(self) -> None:
        if self._session.lock is not None:
            self._session.lock.check()
