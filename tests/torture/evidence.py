# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a failed run leaves: its folder, and the words to see it again."""

import pathlib
import shlex
import shutil
import sys
import tempfile
import traceback

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
KEPT = REPOSITORY / "build/torture"


def keep(folder, kept):
    """Moves a folder to where it stays, instead of what was kept there before."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, kept)


def keep_if_failed(name, run):
    """Calls run() with an empty folder, which it may fill, and returns its exit code.

    The folder goes away; if run() fails or raises, it stays in build/torture.
    """
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"parallelize-{name}-"))
    try:
        exit_code = run(folder)
    except Exception:       # not SystemExit, KeyboardInterrupt: somebody wants to stop
        traceback.print_exc()
        exit_code = 1
    except BaseException:
        shutil.rmtree(folder)
        raise
    if not exit_code:
        shutil.rmtree(folder)
        return 0
    kept = KEPT / name
    keep(folder, kept)
    print(f"FAILED: {kept} has the configuration, the daemon's log and what it wrote\n    again: {shlex.join(sys.argv)}",
          flush=True)
    return exit_code
