"""Parks a Python function that has come as far as it can without its handler.

Python imports this file at its start when its folder is on PYTHONPATH. Where the agent has deployed the
container (both variables are set), the import of the handler gives a module that is not there yet, and the
function waits for the handler's mount where it looks into it (rsfaas_later.py). Another import that needs
the handler's folder waits by itself, and then goes on; everything that was imported before is loaded already.
The template's own files stay as they are. Processes that never import the handler never wait.
"""

import sys


class _Gate:
    """A finder in front of all others: waits once, then takes itself out."""

    def __init__(self, folder):
        import os

        self._folder = os.path.realpath(folder)
        self._parent, self._package = os.path.split(self._folder)
        self._handler = None
        self._restore = None

    def find_spec(self, fullname, path=None, target=None):
        if not self._concerns(fullname, sys.path if path is None else path):
            return None
        if self._handler is None:
            self._prepare()
        if self._may_come_later(fullname):
            is_package = fullname == self._package
            return self._handler.spec(fullname, self._folder if is_package else None)
        if self._handler is None:
            with self.open_table() as table:
                self.await_delivery(table)
            self.step_aside()
        else:
            self._handler.demand()
            if fullname in sys.modules:
                return self._handler.there(fullname)
        # The loop that called this one goes over the very list that has just become shorter, so the
        # other finders are asked from here.
        return self.find_elsewhere(fullname, path, target)

    @staticmethod
    def find_elsewhere(fullname, path, target):
        """What the finders say that are left."""
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(fullname, path, target) if find_spec else None
            if spec is not None:
                return spec
        return None

    def _may_come_later(self, fullname):
        """Tells whether a module is the handler, or its package, and is made before it is there."""
        if fullname not in (self._package, "handler", self._package + ".handler"):
            return False
        if self._handler is None:
            import rsfaas_later

            if not rsfaas_later.is_possible():
                return False
            self._handler = rsfaas_later.Handler(self)
        return True

    def _concerns(self, fullname, entries):
        """Tells whether the search for a module would look for the handler."""
        import os

        name = fullname.rpartition(".")[2]
        for entry in entries:
            if not isinstance(entry, str):
                continue
            entry = os.path.realpath(entry)
            if entry == self._parent:
                if name == self._package:
                    return True
            elif entry == self._folder:
                # The handler's folder itself is searched: for OpenFaaS's entry module, for another of the
                # package, or for something that the base image keeps there.
                if name == "handler" or fullname != name or self._has(entry, name):
                    return True
            elif entry.startswith(self._folder + os.sep):
                return True
        return False

    @staticmethod
    def _has(folder, name):
        import os

        try:
            return any(found.partition(".")[0] == name for found in os.listdir(folder))
        except OSError:
            return False

    def _prepare(self):
        """What is better done while nobody waits."""
        import importlib
        import os

        # What Python loads when a server turns its address into a socket's: milliseconds that no caller
        # should wait for.
        import encodings.idna  # noqa: F401

        # The same, where the finders' caches are dropped after the delivery.
        importlib.invalidate_caches()

        # The kernel drops signals that process 1 has no handler for: a waiting container must end
        # at once all the same.
        if os.getpid() == 1:
            self._restore = _end_on_sigterm()

    @staticmethod
    def open_table():
        """Opens this process's table of mounts, by which the agent knows who waits."""
        try:
            return open("/proc/self/mountinfo", "rb", buffering=0)
        except OSError as error:
            raise _cannot_wait(error) from error

    def await_delivery(self, table):
        """Returns once the handler is mounted."""
        import select

        try:
            # The kernel notes the table's state at opening and at each poll, so no change between reading
            # and polling is missed.
            changes = select.poll()
            changes.register(table, select.POLLPRI)
            while not self._delivered(table.read()):
                changes.poll()
                table.seek(0)
        except OSError as error:
            raise _cannot_wait(error) from error

    def _delivered(self, table):
        """Looks for a mount from `rsfaas` at the folder; fields as in proc_pid_mountinfo(5)."""
        import os

        for line in table.splitlines():
            fields = line.split(b" ")
            if len(fields) < 10 or b"-" not in fields[6:]:
                continue
            source = fields[fields.index(b"-", 6) + 2]
            # Blanks and backslashes stand as a backslash and three octal digits.
            point = os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1"))
            if source == b"rsfaas" and point == self._folder:
                return True
        return False

    def step_aside(self):
        """Leaves the process as if nobody had ever waited."""
        import importlib
        import os

        sys.meta_path.remove(self)
        if self._restore:
            self._restore()
        os.environ.pop("RSFAAS_PARK_TOKEN", None)
        os.environ.pop("RSFAAS_HANDLER_DIR", None)
        importlib.invalidate_caches()
        # A process that stands in the folder still stands below the mount: same path, once more.
        try:
            here = os.getcwd()
            if (here + os.sep).startswith(self._folder + os.sep):
                os.chdir(here)
        except OSError as error:
            print("RsFaaS: the working folder is not in the handler: %s" % error, file=sys.stderr)


def _cannot_wait(error):
    return ImportError("RsFaaS: cannot wait for the handler of this function: %s" % error)


def _end_on_sigterm():
    """Makes SIGTERM end the process; returns what undoes it, or None where it is not ours to do."""
    import os
    import signal
    import threading

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        return None

    def end(number, frame):
        os._exit(128 + number)

    def restore():
        # The template may have a handler of its own by now.
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, end)
    return restore


def _park():
    import os

    folder = os.environ.get("RSFAAS_HANDLER_DIR")
    if folder and os.environ.get("RSFAAS_PARK_TOKEN"):
        sys.meta_path.insert(0, _Gate(folder))


def _hand_over():
    """Runs the sitecustomize that this one hides, if there is one."""
    import os
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    ours = os.path.dirname(os.path.realpath(__file__))
    others = [entry for entry in sys.path if os.path.realpath(entry) != ours]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_park()
_hand_over()
