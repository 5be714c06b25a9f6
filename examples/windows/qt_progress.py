"""A Qt window that shows the progress of a worker thread. The handlers run in the window's thread.

Run it: python examples/windows/qt_progress.py
"""

import sys
import threading
import time

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QLabel, QProgressBar, QVBoxLayout, QWidget

from cyevents import Event, Mailbox

progressed: Event[str] = Event("progressed", doc="A task has reached a percentage.")
finished: Event[str] = Event("finished", doc="A task is done.")


def work(task: str) -> None:
    """Do the work of a task, in a thread that does not know about windows."""
    for percent in range(101):
        time.sleep(0.01)
        progressed.emit(task, percent)
    finished.emit(task)


class Window(QWidget):
    """A window with a progress bar and a text."""

    woken = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.text, self.bar = QLabel("starting"), QProgressBar()
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(self.bar)

        self.mailbox = Mailbox(1000, overflow="latest", wakeup=self.woken.emit)
        self.woken.connect(self.drain, Qt.ConnectionType.QueuedConnection)
        progressed.connect(self.show_progress, via=self.mailbox)
        finished.connect(self.show_end, via=self.mailbox)

    def drain(self) -> None:
        """Run waiting handlers for at most 8 ms, so that the window stays responsive."""
        self.mailbox.drain(budget=0.008)

    def show_progress(self, task: str, percent: int) -> None:
        """Show the progress of the task."""
        self.bar.setValue(percent)

    def show_end(self, task: str) -> None:
        """Show that the task is done."""
        self.text.setText(f"{task} is done")
        print(f"{task}: {self.bar.value()} %, shown by {threading.current_thread().name}")
        if "--close" in sys.argv:
            self.close()


def main() -> int:
    """Show the window until it is closed, and return the exit status."""
    application = QApplication(sys.argv)
    window = Window()
    window.show()
    threading.Thread(target=work, args=("download",), daemon=True).start()
    return application.exec()


if __name__ == "__main__":
    sys.exit(main())
