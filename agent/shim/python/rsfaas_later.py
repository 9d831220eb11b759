"""Modules of a handler that is not there yet.

A template that imports its handler and looks into it at the first request only goes on without it: it makes
its application and its server while it is parked, and not while a caller waits. Once the handler is mounted,
its modules are executed in the main thread, as an import would. Whoever looks into one before that waits in
the main thread, as does a process that is about to fork; other threads are told that it is not there.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
import types
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

# Interrupts the main thread's server for as long as the handler takes to load; not used by custom.
_POKE = signal.SIGRTMAX - 1
# Seconds between two looks at the main thread. It rests where it has slept through so many of them.
_LOOK, _LOOKS = 0.002, 3
# The same where it sleeps in the middle of an import, when other modules may be half there.
_LOOKS_IN_IMPORT = 100
# A server that does not rest by then is parked all the same.
_LAST_LOOK = 2500


def is_possible():
    """Tells whether the main thread asks, and can be interrupted."""
    return (
        hasattr(os, "register_at_fork")
        and threading.current_thread() is threading.main_thread()
        # Their threads are none of the kernel's.
        and not {"gevent.monkey", "eventlet.patcher"}.intersection(sys.modules)
    )


class Handler:
    """The modules that were imported ahead of their delivery."""

    def __init__(self, gate):
        self._gate = gate
        self._modules = []
        self._needed = threading.Event()
        self._delivered = threading.Event()
        # Held where the main thread is poked, and where it takes note; it may be interrupted in that itself.
        self._poking = threading.RLock()
        # Taken for good by whoever begins to load, in one step that nothing comes in between.
        self._begun = threading.Lock()
        self._loaded = threading.Event()
        self._table = None
        # Whether the template imports it where an event loop runs already.
        self._in_loop = _running_loop() is not None
        self._former = signal.signal(_POKE, self._poked)
        os.register_at_fork(before=self._before_fork)
        threading.Thread(target=self._watch, name="rsfaas-park", daemon=True).start()

    def spec(self, fullname, folder):
        """What stands for a module; `folder` where it is the package."""
        spec = ModuleSpec(fullname, self, is_package=folder is not None)
        if folder is not None:
            spec.submodule_search_locations.append(folder)
        return spec

    def create_module(self, spec):
        module = _Later(spec.name)
        self._modules.append(module)
        return module

    def exec_module(self, module):
        """Waits for the delivery."""

    @staticmethod
    def there(fullname):
        """What stands for a module that has been loaded while it was looked for."""
        return ModuleSpec(fullname, _There(sys.modules[fullname]))

    def look_into(self, module, name):
        """Gives what somebody looks for in a module that was not there."""
        if name == "handler" and hasattr(module, "__path__") and not self._begun.locked():
            return importlib.import_module(module.__name__ + ".handler")
        self.demand()
        if type(module) is _Later:
            self._execute(module)
        return getattr(module, name)

    def demand(self):
        """Returns once the handler is loaded, or is being loaded by the very thread that asks."""
        if threading.current_thread() is threading.main_thread():
            if self._begun.locked():
                return
            self._needed.set()
            # By itself: it may hold the import lock, without which the other thread may not get on.
            with self._gate.open_table() as table:
                self._gate.await_delivery(table)
            self._delivered.set()
            # The signal may have come first.
            if not self._begun.locked():
                try:
                    self._load()
                finally:
                    self._loaded.set()
        elif self._delivered.is_set():
            self._loaded.wait()
        else:
            raise RuntimeError("RsFaaS: the handler of this function is not there yet")

    def _before_fork(self):
        if threading.current_thread() is threading.main_thread():
            self.demand()
        # While it loads this is a fork as in any import, which may wait for the very thread that forks.
        elif not self._begun.locked():
            self._loaded.wait()

    def _watch(self):
        self._await_rest()
        if self._needed.is_set():
            return
        try:
            # Whoever has the table open is taken to be parked, until it is closed.
            self._table = self._gate.open_table()
            self._gate.await_delivery(self._table)
        except ImportError as error:
            print(error, file=sys.stderr)
            _end(1)
        self._delivered.set()
        pause = 0.001
        main = threading.main_thread().ident
        while not self._loaded.is_set():
            with self._poking:
                if not self._begun.locked() and not self._needed.is_set():
                    signal.pthread_kill(main, _POKE)
            self._loaded.wait(pause)
            pause = min(2 * pause, 0.1)
        self._table.close()

    def _await_rest(self):
        still, last = 0, None
        for _ in range(_LAST_LOOK):
            if self._needed.wait(_LOOK):
                return
            now = _switches_at_rest()
            still = still + 1 if now is not None and now == last else 0
            last = now
            if still >= (_LOOKS_IN_IMPORT if _is_importing() else _LOOKS):
                return

    def _poked(self, number, frame):
        if self._begun.locked() or self._needed.is_set():
            return
        try:
            with contextlib.nullcontext() if self._in_loop else _no_running_loop():
                if not self._load():
                    return
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                _end(end.code or 0)
            print(end.code, file=sys.stderr)
            _end(1)
        except BaseException as error:
            _tell(error)
            _end(1)
        # At once, and not when the other thread comes to it: now callers may come.
        self._table.close()
        self._loaded.set()

    def _load(self):
        """Executes the modules, in the order in which they were asked for; false where that has begun already."""
        with self._poking:
            if not self._begun.acquire(False):
                return False
            if signal.getsignal(_POKE) == self._poked:
                # Ignored first, which takes back what was sent and is not there yet: it would end the process.
                signal.signal(_POKE, signal.SIG_IGN)
                signal.signal(_POKE, self._former or signal.SIG_DFL)
        self._gate.step_aside()
        for module in self._modules:
            if type(module) is _Later:
                self._execute(module)
        return True

    def _execute(self, module):
        """Makes a module what an import would have made it."""
        name = module.__name__
        parent = sys.modules.get(name.rpartition(".")[0])
        spec = self._gate.find_elsewhere(name, getattr(parent, "__path__", None), None)
        module.__class__ = types.ModuleType
        try:
            if spec is None:
                raise ModuleNotFoundError("No module named %r" % name, name=name)
            # What an import would write into it, and nothing of what stood for it before: a package may have turned
            # out to be none, and the other way round.
            module.__dict__.pop("__path__", None)
            module.__dict__.update(module_from_spec(spec).__dict__)
            # A folder without `__init__.py` may have nothing to execute.
            if hasattr(spec.loader, "exec_module"):
                spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise


class _There:
    """A loader of a module that has been loaded while it was looked for."""

    def __init__(self, module):
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        module.__spec__ = self._spec


class _Later(types.ModuleType):
    """A module of which nothing but its name is known."""

    def __getattr__(self, name):
        # What every module has, or may lack, is asked for by whoever looks through all of them.
        if name.startswith("__"):
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        return self.__spec__.loader.look_into(self, name)


def _running_loop():
    """The event loop that runs in this thread, where one does."""
    events = sys.modules.get("asyncio.events")
    return events and events._get_running_loop()


@contextlib.contextmanager
def _no_running_loop():
    """Lets what is executed run an event loop of its own, although it interrupts a server's."""
    loop = _running_loop()
    if loop is None:
        yield
        return
    events = sys.modules["asyncio.events"]
    events._set_running_loop(None)
    try:
        yield
    finally:
        # A loop that has been run by `asyncio.run` leaves none at its end.
        events.set_event_loop(loop)
        events._set_running_loop(loop)


def _switches_at_rest():
    """How often the main thread has given up its processor, where it sleeps; None where it does not."""
    try:
        with open("/proc/self/task/%d/status" % os.getpid()) as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
    except OSError:
        return None
    if fields["State"].split()[0] != "S":
        return None
    return fields["voluntary_ctxt_switches"], fields["nonvoluntary_ctxt_switches"]


def _is_importing():
    frame = sys._current_frames().get(threading.main_thread().ident)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _tell(error):
    """Writes a traceback without lines of the source: the container's log is a file that outlives the handler."""
    if sys.excepthook is not sys.__excepthook__:
        return sys.excepthook(type(error), error, error.__traceback__)
    told = traceback.TracebackException(type(error), error, error.__traceback__, lookup_lines=False)
    rest = [told]
    while rest:
        one = rest.pop()
        # What a syntax error quotes.
        one.text = None
        # No line is not looked up, but an empty one is taken for it.
        one.stack[:] = [
            traceback.FrameSummary(frame.filename, frame.lineno, frame.name, lookup_line=False, line="")
            for frame in one.stack
        ]
        others = [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or [])]
        rest += [other for other in others if other is not None]
    print("".join(told.format()), end="", file=sys.stderr)


def _end(code):
    """Ends the process from within whatever its main thread was about."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(code)
