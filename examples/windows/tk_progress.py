"""A tkinter window that shows the progress of a worker thread. The handlers run in the window's thread.

Run it: python examples/windows/tk_progress.py
"""

import sys
import threading
import time
import tkinter
from tkinter import ttk

from cyevents import Event, Mailbox

progressed: Event[str] = Event("progressed", doc="A task has reached a percentage.")
finished: Event[str] = Event("finished", doc="A task is done.")


def work(task: str) -> None:
    """Do the work of a task, in a thread that does not know about windows."""
    for percent in range(101):
        time.sleep(0.01)
        progressed.emit(task, percent)
    finished.emit(task)


class Progress:
    """The state that the window shows, in tkinter variables."""

    def __init__(self, root: tkinter.Tk) -> None:
        self.root = root
        self.text, self.percent = tkinter.StringVar(root, "starting"), tkinter.IntVar(root)
        self.mailbox = Mailbox(1000, overflow="latest")
        progressed.connect(self.show_progress, via=self.mailbox)
        finished.connect(self.show_end, via=self.mailbox)
        self.drain()

    def drain(self) -> None:
        """Run waiting handlers, 60 times a second."""
        self.mailbox.drain(budget=0.008)
        self.root.after(16, self.drain)

    def show_progress(self, task: str, percent: int) -> None:
        """Show the progress of the task."""
        self.percent.set(percent)

    def show_end(self, task: str) -> None:
        """Show that the task is done."""
        self.text.set(f"{task} is done")
        print(f"{task}: {self.percent.get()} %, shown by {threading.current_thread().name}")
        if "--close" in sys.argv:
            self.root.quit()


def main() -> None:
    """Show the window until it is closed."""
    root = tkinter.Tk()
    progress = Progress(root)
    ttk.Label(root, textvariable=progress.text).pack()
    ttk.Progressbar(root, variable=progress.percent, length=300).pack()
    threading.Thread(target=work, args=("download",), daemon=True).start()
    root.mainloop()


if __name__ == "__main__":
    main()
