"""`bench` and `python -c` without the seconds that an interpreter and its imports take: a process that has them forks a child per command.

Such a child has standard streams, working folder, environment and exit status of its own, and ends with its command, as a real one does.
It is not what a run's workers are: those a run starts itself. `python warm.py SOCKET PROCESSORS` is the server.
"""

import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType

HEAVY = (
    "bench.api", "bench.cli.run", "bench.cli.screen", "bench.estimator", "bench.kernels", "bench.report.figures", "bench.report.page",
    "bench.saved", "bench.train", "duckdb", "lightgbm", "scipy.optimize", "scipy.stats", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.model_selection", "xgboost",
)  # fmt: skip
CLIENT = """#!{python} -IS
import sys
sys.path.insert(0, {here!r})
import warm
sys.exit(warm.ask({address!r}, [{name!r}, *sys.argv[1:]]))
"""


class Warm:
    """The server, and a folder with the commands `bench` and `block CODE` (`python -c CODE`) that ask it. processors: how many its children may use, and so a run's workers."""

    def __init__(self, folder: Path, processors: int) -> None:
        self.folder, self.address = folder, str(folder / "socket")
        self.command, self.server = [sys.executable, __file__, self.address, str(processors)], None

    def __enter__(self) -> "Warm":
        self.server = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == b"ready\n"
        for name in ("bench", "block"):
            client, here = self.folder / name, str(Path(__file__).parent)
            client.write_text(CLIENT.format(python=sys.executable, here=here, address=self.address, name=name), "utf-8")
            client.chmod(0o755)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.server is not None
        self.server.terminate()
        self.server.communicate()


def ask(address: str, words: Sequence[str]) -> int:
    """The exit status of `bench ...` or `block CODE`, done in this folder with this environment and these streams."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        asked = {"words": list(words), "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(client, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
        said = client.makefile("rb").readline()
    return int(said) if said else 137  # it was killed, and could not say so


def serve(address: str, processors: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])
    for name in HEAVY:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while True:
            caller, _ = server.accept()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not os.fork():
                server.close()
                _answer(caller)
            caller.close()


def _answer(caller: socket.socket) -> None:
    """In the child, which ends here."""
    data, streams, _, _ = socket.recv_fds(caller, 2**20, 3)
    while not data.endswith(b"\n"):
        data += caller.recv(2**20)
    asked = json.loads(data)
    for i, stream in enumerate(streams):
        os.dup2(stream, i)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(i, mode, closefd=False, encoding="utf-8") for i, mode in enumerate("rww"))
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    status = _done(asked["words"])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    caller.sendall(f"{status}\n".encode())
    os._exit(status)


def _done(words: list[str]) -> int:
    import atexit
    import threading

    from bench.cli import main

    sys.path[0] = ""
    sys.modules["__main__"] = own = ModuleType("__main__")
    try:
        if words[0] == "bench":
            sys.argv = words
            main()
        else:
            sys.argv = ["-c"]
            exec(compile(words[1], "<string>", "exec"), own.__dict__)
        status: object = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # threads that are no daemons, as at the end of any process
    atexit._run_exitfuncs()
    if isinstance(status, str):
        print(status, file=sys.stderr)
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
