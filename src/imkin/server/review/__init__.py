"""The review page: static files without a build step, and what they ask for. A thin face over `imkin.review`.

desk     the session under review, and the work that is under way
routes   what the page asks for
static   the page: HTML, CSS and ES modules
"""

from imkin.server.review.desk import Desk
from imkin.server.review.routes import install

__all__ = ["Desk", "install"]
