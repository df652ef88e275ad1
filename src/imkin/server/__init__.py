"""The HTTP service: a thin face over the core.

settings   what the service was started with     app        the application
guard      who may speak to it                   problems   errors as RFC 9457 problem details
access     a line and a count for each request  metrics    those counts, for Prometheus
images     routes that take images               schemas    what the routes take and give
uploads    multipart bodies, spooled             service    what lives as long as the application
workers    processes for what strangers send     working    what such a process does
"""
