"""A person's review of what a scan found: what the review page shows and does, without a page.

about       what a session is about, where a group stands
session     the groups at a threshold, where each stands, deciding
remembered  choices and verdicts in the catalogue as they are made, undo
shown       what is told about groups, files and plans, as plain data
carrying    the plan of what was decided, applied and taken back while progress is told
pictures    pictures for eyes, thumbnails kept by content
"""

from imkin.review.carrying import Task
from imkin.review.pictures import Pictures, thumbnails_of
from imkin.review.session import Session, open_session

__all__ = ["Pictures", "Session", "Task", "open_session", "thumbnails_of"]
