"""The HTTP service: a thin face over the core.

settings   what the service was started with     app        the application
guard      who may speak to it                   problems   errors as RFC 9457 problem details
access     a line and a count for each request  metrics    those counts, for Prometheus
images     routes that take images               schemas    what the routes take and give (folder_schemas)
uploads    multipart bodies, spooled             service    what lives as long as the application
workers    processes for what strangers send     working    what such a process does
libraries  routes over libraries, and search     shelf      the libraries of the catalogue
folders    routes that scan the roots            carrying   routes that apply plans and undo runs
jobs       work that outlasts a request          jobbing    what a job's process does
limit      memory that a process may take       related    how what a search found is related
plans      plans by id                           names      what clients see of paths
"""
