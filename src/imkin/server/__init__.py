"""The HTTP service: a thin face over the core.

settings   what the service was started with     app        the application
guard      who may speak to it                   problems   errors as RFC 9457 problem details
access     a line and a count for each request
"""
