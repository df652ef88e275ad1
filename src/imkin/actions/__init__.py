"""Changes of users' files, all of them: applied from a plan, journalled before they are made, taken back.

disk       the few ways to change a disk; moves that never overwrite
changes    the changes of one file: take, give back, settle after a crash
trash      the desktop's trash            places    where files go
apply      apply, resume                  recovery  recover
undo       undo, history, purge           outcome   what became of a run
layout     groups into folders            recheck   a file again, before it is changed
preparing  what a plan rests on           lock      one process at a time
"""

from imkin.actions.apply import apply, resume
from imkin.actions.disk import DISK, Disk
from imkin.actions.layout import layout
from imkin.actions.outcome import Outcome, Row
from imkin.actions.preparing import Wish, make_plan
from imkin.actions.recovery import recover
from imkin.actions.undo import history, look_up, purge, undo

__all__ = [
    "DISK",
    "Disk",
    "Outcome",
    "Row",
    "Wish",
    "apply",
    "history",
    "layout",
    "look_up",
    "make_plan",
    "purge",
    "recover",
    "resume",
    "undo",
]
