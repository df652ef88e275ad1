"""The catalogue: what imkin remembers, in one SQLite file or a PostgreSQL database, keyed by content, listed by path.

schema      the tables and their migrations          sqlite, postgres    two back ends that make them
database    one small interface over these           vectors, transfer   search by a server; copies
prints      files seen, contents read, their fingerprints and failures
collections named sets of images to search in
decisions   what a person said of two contents          choices   which file a person keeps
"""

from imkin.catalogue.database import Database, default_path
from imkin.catalogue.prints import Known, PrintStore

__all__ = ["Database", "Known", "PrintStore", "default_path"]
