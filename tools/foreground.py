"""Runs a command as a shell's foreground job, so that Ctrl-C reaches it and not the make that waits for it.

make dies of a Ctrl-C (status 130) however well its command ends. In a process group of its own the command alone gets
it, and its exit status is make's. Ctrl-Z is ignored: nobody here could wake the command again.
"""

import os
import signal
import sys


def main() -> int:
    """Run sys.argv[1:] and return its exit status, as a shell would."""
    command = sys.argv[1:]
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        terminal = -1
    if terminal < 0 or os.tcgetpgrp(terminal) != os.getpgrp():
        os.execv(command[0], command)  # no terminal of ours, so no Ctrl-C from it
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else whoever is not in the foreground stops at tcsetpgrp
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(command[0], command)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
